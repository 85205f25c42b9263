// What came of learning: the new version, and how right it is.

import { get, path } from "../../api/client.js";
import { may } from "../../api/session.js";
import { classesOf } from "../../api/versions.js";
import { h } from "../../lib/dom.js";
import { count, percent, sentence } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { linkButton } from "../../ui/button.js";
import { icon } from "../../ui/icon.js";
import { notice } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";
import { suspectsHint } from "./suspects_hint.js";

/** @typedef {import("../../api/types.js").MeasuredClass} MeasuredClass */
/** @typedef {import("../../api/types.js").Version} Version */

/**
 * @param {string} name of the classifier
 * @param {number} number of the version
 */
export function result(name, number) {
  const to = path`v1/classifiers/${name}/versions/${number}`;
  const version = resource(async (signal) => /** @type {Version} */ (await get(to, { signal })));
  const classes = resource((signal) => classesOf(to, signal));
  return h(
    "section",
    { class: "card stack result", "aria-label": "What was learnt" },
    shown(version, (found) => [
      h(
        "div",
        { class: "row apart" },
        h(
          "h2",
          { class: "row" },
          h("span", { class: "done-mark" }, icon("check")),
          h(
            "span",
            { role: "status" },
            `Version ${number} knows ${count(found.class_count, "class", "classes")}`,
          ),
        ),
        may("predict")
          ? linkButton("Try it", link("/classifiers/:name/try", { name }), {
              kind: "primary",
              icon: "spark",
            })
          : null,
      ),
      h("p", null, accuracy(found)),
      shown(classes, classBars),
      may("train") ? suspectsHint(name, number) : null,
      (found.metrics.warnings ?? []).map((text) => notice("warning", null, sentence(text))),
    ]),
  );
}

/** @param {Version} version */
function accuracy({ metrics }) {
  const { accuracy: share, images, used } = metrics.goes_by;
  if (share === null)
    return "Its accuracy is not known: too few images to hold some out. Add more to find out.";
  const right = `It calls ${percent(share)} of ${count(images, "image")} by the right name`;
  return used === "trained"
    ? `${right}, each judged as if it had not been learnt.`
    : `${right} that it has not learnt from.`;
}

/** @param {readonly MeasuredClass[]} classes */
function classBars(classes) {
  const rows = classes.flatMap(({ label, goes_by: { accuracy: share } }) =>
    share === null ? [] : [{ label, share }],
  );
  if (!rows.length) return null;
  rows.sort((a, b) => a.share - b.share);
  return h(
    "ul",
    { class: "class-bars", "aria-label": "Accuracy of each class" },
    rows.map(({ label, share }) =>
      h(
        "li",
        null,
        h("span", { class: "cut" }, label),
        h("span", { class: "bar" }, h("span", { style: { width: `${100 * share}%` } })),
        h("span", { class: "number small" }, percent(share, 0)),
      ),
    ),
  );
}
