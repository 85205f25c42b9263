// The classes of a version: images, exemplars, and how right it is on each.

import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { linkButton } from "../../ui/button.js";
import { shareBar } from "../../ui/share_bar.js";
import { table } from "../../ui/table.js";

/** @typedef {import("../../api/types.js").Version} Version */
/** @typedef {import("../../api/types.js").VersionClass & {accuracy: number | null, measured_on: number | null}} MeasuredClass */

/**
 * @param {string} name
 * @param {Version} version
 * @param {readonly MeasuredClass[]} classes
 */
export function classTable(name, version, classes) {
  const weakestFirst = [...classes].sort((a, b) => (a.accuracy ?? 2) - (b.accuracy ?? 2));
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
    table(
      "Classes",
      ["Class", "Accuracy", "Measured on", "Learnt from", ...(kept ? ["Exemplars"] : [])],
      weakestFirst.map((each) => [
        each.label,
        each.accuracy === null ? "–" : shareBar(each.accuracy, percent(each.accuracy)),
        each.measured_on === null ? "–" : `${each.measured_on}`,
        `${each.train_images}`,
        ...(kept ? [`${each.exemplars}`] : []),
      ]),
    ),
  );
}
