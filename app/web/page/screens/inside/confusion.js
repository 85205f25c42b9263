// Which classes are mixed up: the most frequent first, and the whole matrix. Its cells open images.

import { get, path } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { count } from "../../lib/format.js";
import { openDialog } from "../../ui/dialog.js";
import { empty } from "../../ui/notice.js";
import { restsOn } from "../../ui/rests_on.js";
import { resource, shown } from "../../ui/resource.js";
import { heatMap, row } from "../../ui/table.js";
import { mixedUp } from "./confusing.js";
import { judgedImages } from "./judged_images.js";

/** @typedef {import("./confusing.js").Confusion} Confusion */

const MOST = 8;

/** @param {import("./inside.js").Inside} inside */
export function confusionPart(inside) {
  const from = path`v1/classifiers/${inside.name}/versions/${inside.version.number}/confusion`;
  const { used } = inside.version.metrics.goes_by;
  const found = resource(
    async (signal) => /** @type {Confusion} */ (await get(from, { query: { used }, signal })),
  );
  return shown(found, (confusion) =>
    confusion.labels.length
      ? [mostFrequent(inside, confusion), matrix(inside, confusion)]
      : empty(
          "image",
          "No images are held out",
          "Confusions are counted on images that were never trained on. Teach it more images of each class.",
        ),
  );
}

/**
 * @param {import("./inside.js").Inside} inside
 * @param {Confusion} confusion
 */
function mostFrequent(inside, confusion) {
  const pairs = mixedUp(confusion, MOST);
  if (!pairs.length) {
    return h(
      "p",
      { class: "muted" },
      `It has all right of ${restsOn(inside.version.metrics.goes_by)}.`,
    );
  }
  return h(
    "section",
    { class: "card stack", "aria-labelledby": "mixed-up" },
    h("h2", { id: "mixed-up" }, "Most often mixed up"),
    h(
      "ul",
      { class: "mixed-up" },
      ...pairs.map(({ label, predicted, images }) =>
        h(
          "li",
          null,
          h(
            "button",
            {
              type: "button",
              class: "button",
              onclick: () => open(inside, label, predicted, images),
            },
            `${label} taken for ${predicted}`,
            h("span", { class: "badge error" }, `${images}`),
          ),
        ),
      ),
    ),
  );
}

/**
 * @param {import("./inside.js").Inside} inside
 * @param {Confusion} confusion
 */
function matrix(inside, { labels, counts }) {
  return h(
    "section",
    { class: "card stack confusion", "aria-labelledby": "matrix" },
    h("h2", { id: "matrix" }, "Confusion matrix"),
    h(
      "p",
      { class: "muted" },
      `Rows are what images are labelled, columns what the version says. A number opens its images. Counted on ${restsOn(inside.version.metrics.goes_by)}.`,
    ),
    heatMap(
      "Counts",
      [
        h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "Label")),
        ...labels.map((label) =>
          h("th", { scope: "col", class: "turned" }, h("span", null, label)),
        ),
      ],
      labels.map((label, index) =>
        row(
          label,
          ...labels.map((predicted, column) =>
            cell(inside, counts[index] ?? [], column, label, predicted),
          ),
        ),
      ),
    ),
  );
}

/**
 * @param {import("./inside.js").Inside} inside
 * @param {readonly number[]} calls how often images of the label were called what
 * @param {number} column
 * @param {string} label
 * @param {string} predicted
 */
function cell(inside, calls, column, label, predicted) {
  const images = calls[column] ?? 0;
  const whole = calls.reduce((sum, each) => sum + each, 0);
  if (!images) return h("td", { class: "heat-cell heat-none" });
  const right = label === predicted;
  // Few errors among many images are to be seen.
  const share = right ? images / whole : Math.sqrt(images / whole);
  return h(
    "td",
    { class: right ? "heat-cell" : "heat-cell wrong", style: { "--share": `${share}` } },
    h(
      "button",
      {
        type: "button",
        "aria-label": `${count(images, "image")} of ${label} called ${predicted}`,
        onclick: () => open(inside, label, predicted, images),
      },
      `${images}`,
    ),
  );
}

/**
 * @param {import("./inside.js").Inside} inside
 * @param {string} label
 * @param {string} predicted
 * @param {number} images
 */
function open(inside, label, predicted, images) {
  const title =
    label === predicted ? `${label}: right` : `Labelled ${label}, taken for ${predicted}`;
  openDialog(
    title,
    () => [
      h("p", { class: "muted" }, count(images, "image")),
      judgedImages(inside, title, { label, predicted, used: inside.version.metrics.goes_by.used }),
    ],
    { wide: true },
  );
}
