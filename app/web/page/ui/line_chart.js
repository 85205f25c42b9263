// A line chart: SVG to look at, and a table of the same values behind it.

import { h, s } from "../lib/dom.js";
import { linear, ticks } from "../lib/scale.js";

/** @typedef {{x: number, y: number}} Point */

const [WIDTH, HEIGHT] = [600, 180];
const MARGIN = { top: 12, right: 14, bottom: 26, left: 48 };

/**
 * Draws values over something.
 * @param {readonly Point[]} points in the order of x
 * @param {object} options
 * @param {string} options.title what is read of it
 * @param {string} options.x what is along the bottom
 * @param {string} options.y what is along the side
 * @param {(value: number) => string} [options.shown] a value as text
 * @param {readonly [number, number]} [options.range] of y; that of the values if left out
 */
export function lineChart(points, { title, x, y, shown = String, range }) {
  const ys = points.map((point) => point.y);
  const [low, high] = range ?? [Math.min(0, ...ys), Math.max(...ys, 1e-9)];
  const [from, to] = [points[0]?.x ?? 0, points.at(-1)?.x ?? 1];
  const across = linear([from, to], [MARGIN.left, WIDTH - MARGIN.right]);
  const up = linear([low, high], [HEIGHT - MARGIN.bottom, MARGIN.top]);
  const path = points.map((point) => `${across(point.x).toFixed(1)},${up(point.y).toFixed(1)}`);
  const last = points.at(-1);
  return h(
    "figure",
    { class: "chart" },
    s(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title },
      ...ticks(low, high, 4).map((value) => [
        s("line", {
          class: "chart-grid",
          x1: MARGIN.left,
          x2: WIDTH - MARGIN.right,
          y1: up(value),
          y2: up(value),
        }),
        s("text", { x: MARGIN.left - 8, y: up(value) + 4, "text-anchor": "end" }, shown(value)),
      ]),
      s("text", { x: WIDTH - MARGIN.right, y: HEIGHT - 6, "text-anchor": "end" }, x),
      s("polyline", { class: "chart-line", points: path.join(" ") }),
      last ? s("circle", { class: "chart-point", cx: across(last.x), cy: up(last.y), r: 4 }) : null,
    ),
    h(
      "details",
      { class: "chart-table" },
      h("summary", { class: "small" }, "As a table"),
      h(
        "table",
        { class: "table" },
        h("caption", { class: "visually-hidden" }, title),
        h("thead", null, h("tr", null, h("th", { scope: "col" }, x), h("th", { scope: "col" }, y))),
        h(
          "tbody",
          null,
          points.map((point) =>
            h("tr", null, h("td", null, String(point.x)), h("td", null, shown(point.y))),
          ),
        ),
      ),
    ),
  );
}
