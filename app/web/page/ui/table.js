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
  return h(
    "div",
    { class: "table-frame", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      { class: "table" },
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", null, h("tr", null, ...head.map((cell) => h("th", { scope: "col" }, cell)))),
      h(
        "tbody",
        null,
        ...rows.map(([name, ...cells]) =>
          h(
            "tr",
            null,
            h("th", { scope: "row" }, name),
            ...cells.map((cell) => h("td", null, cell)),
          ),
        ),
      ),
    ),
  );
}

/**
 * Shows the figures of a chart as a table, when asked.
 * @param {HTMLElement} figures
 */
export function tableBehind(figures) {
  return h("details", { class: "behind" }, h("summary", null, "As a table"), figures);
}
