// The accuracy matrix: how right each version was on each group of classes, and what was forgotten.

import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { restsOn } from "../../ui/rests_on.js";
import { heatMap, row } from "../../ui/table.js";
import { some } from "./changes.js";
import { forgotten } from "./forgetting.js";

/** @typedef {import("../../api/types.js").MeasuredClass} MeasuredClass */
/** @typedef {import("../../api/types.js").Version} Version */
/** @typedef {import("./forgetting.js").MatrixRow} MatrixRow */

/**
 * @param {Version} version one that goes by its held-out images, as the matrix does
 * @param {readonly MatrixRow[]} rows oldest first
 * @param {readonly MeasuredClass[]} classes
 */
export function matrixFigure({ metrics }, rows, classes) {
  const tasks = rows.at(-1)?.tasks ?? [];
  return h(
    "section",
    { class: "card stack", "aria-labelledby": "matrix" },
    h("h2", { id: "matrix" }, "What it still knows"),
    h(
      "p",
      { class: "muted" },
      `Each row is a version, each column the classes that one step added. A column that grows pale is forgotten. Measured on ${restsOn(metrics.goes_by)}.`,
    ),
    heatMap(
      "Accuracy matrix",
      [
        h("th", { scope: "col" }, "Version"),
        ...tasks.map((task) => h("th", { scope: "col" }, taskName(task, classes))),
        h("th", { scope: "col" }, "All"),
      ],
      rows.map(({ number, accuracies, accuracy, tasks: known }) =>
        row(
          `${number}`,
          ...tasks.map((task) => share(accuracies[known.indexOf(task)])),
          share(accuracy),
        ),
      ),
      row("Forgotten", ...tasks.map((task) => lost(forgotten(rows, task))), h("td", null)),
    ),
  );
}

/**
 * @param {number} task
 * @param {readonly MeasuredClass[]} classes
 */
function taskName(task, classes) {
  const labels = classes.filter((each) => each.task === task).map(({ label }) => label);
  return h("span", { class: "task-name", title: labels.join(", ") }, some(labels, 2));
}

/** @param {number | null | undefined} value */
function share(value) {
  if (value === undefined) return h("td", null);
  if (value === null) return h("td", { class: "heat-cell heat-none" }, "–");
  return h("td", { class: "heat-cell", style: { "--share": `${value}` } }, percent(value, 0));
}

/** @param {number | null} value */
function lost(value) {
  if (value === null) return h("td", { class: "heat-cell heat-none" }, "–");
  const size = Math.min(1, Math.max(0, value) * 2);
  const text = value < 0 ? `gained ${percent(-value, 0)}` : percent(value, 0);
  return h("td", { class: "heat-cell wrong", style: { "--share": `${size}` } }, text);
}
