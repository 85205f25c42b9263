// What came of learning: the new version, and how right it is.

import { get, path } from "../../api/client.js";
import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { count, percent, sentence } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { linkButton } from "../../ui/button.js";
import { icon } from "../../ui/icon.js";
import { notice } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";
import { suspectsHint } from "./suspects_hint.js";

/** @typedef {import("../../api/types.js").Version} Version */

/**
 * @param {string} name of the classifier
 * @param {number} number of the version
 */
export function result(name, number) {
  const version = resource(
    async (signal) =>
      /** @type {Version} */ (
        await get(path`v1/classifiers/${name}/versions/${number}`, { signal })
      ),
  );
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
      classBars(found),
      may("train") ? suspectsHint(name, number) : null,
      (found.metrics.warnings ?? []).map((text) => notice("warning", null, sentence(text))),
    ]),
  );
}

/** @param {Version} version */
function accuracy({ metrics }) {
  const { leave_one_out: one, accuracy: share, measured_on: images } = metrics;
  if (one)
    return `It calls ${percent(one.accuracy)} of ${count(one.images, "image")} by the right name, each judged as if it had not been learnt.`;
  if (share === null)
    return "Its accuracy is not known: too few images to hold some out. Add more to find out.";
  return `It calls ${percent(share)} of ${count(images ?? 0, "image")} by the right name that it has not learnt from.`;
}

/** @param {Version} version */
function classBars({ metrics }) {
  if (metrics.leave_one_out) return null; // so few are held out that the bars would say nothing
  const rows = Object.entries(metrics.per_class ?? {}).filter(([, share]) => share !== null);
  if (!rows.length) return null;
  rows.sort(([, a], [, b]) => (a ?? 0) - (b ?? 0));
  return h(
    "ul",
    { class: "class-bars", "aria-label": "Accuracy of each class" },
    rows.map(([label, share]) =>
      h(
        "li",
        null,
        h("span", { class: "cut" }, label),
        h("span", { class: "bar" }, h("span", { style: { width: `${100 * (share ?? 0)}%` } })),
        h("span", { class: "number small" }, percent(share, 0)),
      ),
    ),
  );
}
