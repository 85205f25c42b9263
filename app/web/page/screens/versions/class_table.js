// The classes of a version: images, exemplars, and how right it is on each.

import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { linkButton } from "../../ui/button.js";
import { restsOn } from "../../ui/rests_on.js";
import { shareBar } from "../../ui/share_bar.js";
import { table } from "../../ui/table.js";

/** @typedef {import("../../api/types.js").Version} Version */
/** @typedef {import("../../api/types.js").MeasuredClass} MeasuredClass */

/**
 * @param {string} name
 * @param {Version} version
 * @param {readonly MeasuredClass[]} classes
 */
export function classTable(name, version, classes) {
  const weakestFirst = [...classes].sort(
    (a, b) => (a.goes_by.accuracy ?? 2) - (b.goes_by.accuracy ?? 2),
  );
  const kept = classes.some(({ exemplars }) => exemplars);
  const inside = link("/classifiers/:name/inside/:version", {
    name,
    version: `${version.number}`,
  });
  return h(
    "section",
    { class: "card stack", "aria-labelledby": "classes" },
    h(
      "div",
      { class: "row apart" },
      h("h2", { id: "classes" }, "Classes, the weakest first"),
      may("train") ? linkButton("Look inside", inside, { icon: "eye" }) : null,
    ),
    h("p", { class: "muted" }, `Measured on ${restsOn(version.metrics.goes_by)}.`),
    table(
      "Classes",
      ["Class", "Accuracy", "Measured on", "Learnt from", ...(kept ? ["Exemplars"] : [])],
      weakestFirst.map(({ label, goes_by: { accuracy, images }, train_images, exemplars }) => [
        label,
        accuracy === null ? "–" : shareBar(accuracy, percent(accuracy)),
        `${images}`,
        `${train_images}`,
        ...(kept ? [`${exemplars}`] : []),
      ]),
    ),
  );
}
