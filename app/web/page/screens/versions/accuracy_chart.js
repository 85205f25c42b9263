// Accuracy of the versions in the order in which they were made, with what chance moves it by.

import { h, s } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { linear, lowestShown, ticks } from "../../lib/scale.js";
import { measured } from "../../ui/measured.js";
import { restsOn } from "../../ui/rests_on.js";
import { accuracyOf } from "./changes.js";

/** @typedef {import("../../api/types.js").Version} Version */

const HEIGHT = 220;
const EDGE = { left: 52, right: 20, top: 12, bottom: 30 };
// So much room has the number of a version below the axis.
const LABEL = 28;

/**
 * @param {string} name of the classifier
 * @param {readonly Version[]} versions newest first
 */
export function accuracyChart(name, versions) {
  const oldestFirst = [...versions].reverse();
  const known = oldestFirst.filter((version) => accuracyOf(version) !== null);
  if (!known.length) {
    return h("p", { class: "muted" }, "No images are held out, so nothing is measured.");
  }
  return measured({ class: "chart" }, (width) => draw(name, known, width));
}

/**
 * @param {string} name
 * @param {readonly Version[]} versions oldest first, all measured
 * @param {number} width
 */
function draw(name, versions, width) {
  const low = lowestShown(versions.map((version) => accuracyOf(version) ?? 1));
  const right = width - EDGE.right;
  const x = linear(versions.length > 1 ? [0, versions.length - 1] : [-1, 1], [
    EDGE.left + 12,
    right - 12,
  ]);
  const y = linear([low, 1], [HEIGHT - EDGE.bottom, EDGE.top]);
  const place = new Map(versions.map((version, index) => [version.number, index]));
  const step = Math.ceil((versions.length * LABEL) / Math.max(1, right - EDGE.left));
  /** @param {Version} version */
  const height = (version) => y(accuracyOf(version) ?? 0);

  return s(
    "svg",
    {
      width,
      height: HEIGHT,
      viewBox: `0 0 ${width} ${HEIGHT}`,
      role: "group",
      "aria-label": "Accuracy of each version",
    },
    ...ticks(low, 1, 4)
      .map((value) => [
        s("line", { class: "chart-grid", x1: EDGE.left, x2: right, y1: y(value), y2: y(value) }),
        s(
          "text",
          { class: "chart-label", x: EDGE.left - 10, y: y(value) + 4, "text-anchor": "end" },
          percent(value, 0),
        ),
      ])
      .flat(),
    ...versions.flatMap((version, index) => {
      const parent = version.parent === null ? undefined : place.get(version.parent);
      const from = parent === undefined ? undefined : versions[parent];
      if (parent === undefined || !from) return [];
      const [x1, y1, x2, y2] = [x(parent), height(from), x(index), height(version)];
      return [s("line", { class: "chart-line", x1, y1, x2, y2 })];
    }),
    ...versions.map((version, index) => point(name, version, x(index), y, low)),
    ...versions.map((version, index) =>
      index % step
        ? null
        : s(
            "text",
            { class: "chart-label", x: x(index), y: HEIGHT - 8, "text-anchor": "middle" },
            `${version.number}`,
          ),
    ),
  );
}

/**
 * @param {string} name
 * @param {Version} version
 * @param {number} x
 * @param {(share: number) => number} y
 * @param {number} low
 */
function point(name, version, x, y, low) {
  const share = accuracyOf(version) ?? 0;
  const error = version.metrics.goes_by.standard_error ?? 0;
  const text = `Version ${version.number}: ${percent(share)} of ${restsOn(version.metrics.goes_by)}`;
  return s(
    "a",
    {
      href: link("/classifiers/:name/versions/:version", { name, version: `${version.number}` }),
      "aria-label": text,
    },
    s("title", null, text),
    error
      ? s("line", {
          class: "chart-error",
          x1: x,
          x2: x,
          y1: y(Math.max(low, share - 2 * error)),
          y2: y(Math.min(1, share + 2 * error)),
        })
      : null,
    s("circle", { class: "chart-reach", cx: x, cy: y(share), r: 14 }),
    s("circle", {
      class: version.aliases.includes("live") ? "chart-dot live" : "chart-dot",
      cx: x,
      cy: y(share),
      r: 5.5,
    }),
  );
}
