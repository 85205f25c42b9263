// What the service measured on images, with what it recommends.

import { h } from "../../lib/dom.js";
import { bytes, count, duration, percent, sentence } from "../../lib/format.js";
import { signal } from "../../lib/signals.js";
import { button } from "../../ui/button.js";
import { notice } from "../../ui/notice.js";
import { table } from "../../ui/table.js";

/**
 * @typedef {object} Row
 * @property {string} method
 * @property {string} backbone
 * @property {string | null} weights
 * @property {number} image_size
 * @property {number | null} accuracy
 * @property {number | null} standard_error
 * @property {number} seconds
 * @property {number} bytes_per_class
 * @property {"exactly" | "partly"} forgets
 */

/**
 * @typedef {object} Advice
 * @property {number} images
 * @property {number} classes
 * @property {Row[]} rows
 * @property {{row: number, why: string, classifier: Record<string, unknown>} | null} recommendation
 * @property {string[]} warnings
 */

/**
 * @param {Advice} advice
 * @param {(choice: Record<string, unknown>) => void} choose
 */
export function adviceTable({ images, classes, rows, recommendation, warnings }, choose) {
  const chosen = signal(recommendation?.row ?? -1);
  return h(
    "div",
    { class: "stack" },
    h("h2", null, `Measured on ${count(images, "image")} of ${count(classes, "class", "classes")}`),
    recommendation ? notice("good", null, sentence(recommendation.why)) : null,
    warnings.map((text) => notice("warning", null, sentence(text))),
    table(
      "What was measured",
      ["Method", "Right", "Learns in", "A class takes", "Forgets", "Choose"],
      rows.map((row, index) => [
        [row.method, h("div", { class: "small muted" }, `${row.backbone}, ${row.image_size} px`)],
        h("span", { class: "unbroken" }, accuracy(row)),
        h("span", { class: "unbroken" }, duration(row.seconds)),
        h("span", { class: "unbroken" }, bytes(row.bytes_per_class)),
        row.forgets,
        button(`Choose ${row.method} on ${row.backbone} at ${row.image_size} pixels`, {
          icon: "check",
          alone: true,
          "aria-pressed": () => `${chosen.value === index}`,
          onclick() {
            chosen.value = index;
            choose(index === recommendation?.row ? recommendation.classifier : settings(row));
          },
        }),
      ]),
    ),
  );
}

/** @param {Row} row */
function accuracy({ accuracy: share, standard_error: error }) {
  if (share === null) return "–";
  return error === null ? percent(share) : `${percent(share)} ± ${(100 * error).toFixed(1)}`;
}

/** @param {Row} row */
function settings({ method, backbone, weights, image_size }) {
  return { method, backbone, image_size, ...(weights ? { weights } : {}) };
}
