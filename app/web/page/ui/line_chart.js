// A line that grows: SVG to look at, and a table of the same values behind it.

import { h, s } from "../lib/dom.js";
import { linear, ticks } from "../lib/scale.js";
import { measured } from "./measured.js";
import { table, tableBehind } from "./table.js";

/** @typedef {{x: number, y: number}} Point */

/**
 * @typedef {object} Options
 * @property {string} title what is read of it
 * @property {string} x what is along the bottom
 * @property {string} y what is along the side
 * @property {(value: number) => string} shown a value of y as text
 * @property {number} end of x: the line ends there once all is done
 * @property {number} [top] of y; the largest value if left out
 */

const HEIGHT = 170;
const EDGE = { left: 52, right: 12, top: 12, bottom: 28 };

/**
 * Draws values over something that is counted from 1.
 * @param {() => readonly Point[]} points in the order of x
 * @param {Options} options
 */
export function lineChart(points, options) {
  return h(
    "figure",
    { class: "stack tight" },
    h("figcaption", { class: "small muted" }, options.title),
    measured({ class: "chart" }, (width) => () => draw(points(), options, width)),
    tableBehind(
      h("div", null, () =>
        table(
          options.title,
          [options.x, options.y],
          points().map(({ x, y }) => [String(x), options.shown(y)]),
        ),
      ),
    ),
  );
}

/**
 * @param {readonly Point[]} points
 * @param {Options} options
 * @param {number} width
 */
function draw(points, { title, x, shown, end, top }, width) {
  const high = top ?? Math.max(...points.map((point) => point.y), 1e-9);
  const across = linear([1, end], [EDGE.left, width - EDGE.right]);
  const up = linear([0, high], [HEIGHT - EDGE.bottom, EDGE.top]);
  const places = points.map((point) => [across(point.x), up(point.y)]);
  const last = places.at(-1);
  return s(
    "svg",
    { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": title },
    ...ticks(0, high, 3).map((value) => [
      s("line", {
        class: "chart-grid",
        x1: EDGE.left,
        x2: width - EDGE.right,
        y1: up(value),
        y2: up(value),
      }),
      s(
        "text",
        { class: "chart-label", x: EDGE.left - 8, y: up(value) + 4, "text-anchor": "end" },
        shown(value),
      ),
    ]),
    s("text", { class: "chart-label", x: EDGE.left, y: HEIGHT - 6 }, `${x} 1`),
    s(
      "text",
      { class: "chart-label", x: width - EDGE.right, y: HEIGHT - 6, "text-anchor": "end" },
      String(end),
    ),
    s("polyline", {
      class: "chart-line growing",
      points: places.map((place) => place.map((value) => value.toFixed(1)).join(",")).join(" "),
    }),
    last ? s("circle", { class: "chart-dot live", cx: last[0], cy: last[1], r: 4 }) : null,
  );
}
