// Tables of figures, on their own or behind a chart.

import { h } from "../lib/dom.js";

/** @typedef {import("../lib/dom.js").Child} Child */

/**
 * Makes a table. The first cell of each row names the row.
 * @param {string} caption read, not seen
 * @param {readonly Child[]} head
 * @param {readonly (readonly Child[])[]} rows
 */
export function table(caption, head, rows) {
  return frame(
    caption,
    h(
      "table",
      { class: "table" },
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", null, h("tr", null, ...head.map((cell) => h("th", { scope: "col" }, cell)))),
      h(
        "tbody",
        null,
        ...rows.map(([name, ...cells]) => row(name, ...cells.map((cell) => h("td", null, cell)))),
      ),
    ),
  );
}

/**
 * Makes a heat map: a table whose cells are coloured by their share.
 * @param {string} label
 * @param {readonly Child[]} head headings of columns
 * @param {readonly Child[]} rows of `row`
 * @param {Child} [foot] of `row`
 */
export function heatMap(label, head, rows, foot) {
  return frame(
    label,
    h(
      "table",
      { class: "heat" },
      h("thead", null, h("tr", null, ...head)),
      h("tbody", null, ...rows),
      foot ? h("tfoot", null, foot) : null,
    ),
  );
}

/**
 * Makes a row. Its first cell names it.
 * @param {Child} name
 * @param {...Child} cells
 */
export function row(name, ...cells) {
  return h("tr", null, h("th", { scope: "row" }, name), ...cells);
}

/**
 * @param {string} label
 * @param {HTMLElement} content
 */
function frame(label, content) {
  return h(
    "div",
    { class: "table-frame", tabindex: 0, role: "region", "aria-label": label },
    content,
  );
}

/**
 * Shows the figures of a chart as a table, when asked.
 * @param {HTMLElement} figures
 */
export function tableBehind(figures) {
  return h("details", { class: "behind" }, h("summary", null, "As a table"), figures);
}
