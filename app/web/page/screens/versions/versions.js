// All versions of a classifier: the tree, what each is called, and how right they were.

import { all, path } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { ago, count, percent } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { linkButton } from "../../ui/button.js";
import { empty } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";
import { table, tableBehind } from "../../ui/table.js";
import { accuracyChart } from "./accuracy_chart.js";
import { aliasBadges } from "./aliases.js";
import { accuracyOf, forgettingOf } from "./changes.js";
import { classifierSection } from "./classifier_section.js";
import { tree } from "./tree.js";

/** @typedef {import("../../api/types.js").Version} Version */

/** @type {import("../../screens.js").MakeScreen} */
export function screen({ params: { name } }) {
  const versions = resource(
    async (signal) =>
      /** @type {Version[]} */ (
        await all(path`v1/classifiers/${name}/versions`, { query: { limit: 1000 }, signal })
      ),
  );
  return shown(versions, (found) => (found.length ? overview(name, found) : nothing(name)));
}

/** @param {string} name */
function nothing(name) {
  return empty(
    "tree",
    "No versions yet",
    "Each time it learns, it becomes a new version. All of them stay, so you can compare them and go back.",
    linkButton("Teach it", link("/classifiers/:name/teach", { name }), { kind: "primary" }),
  );
}

/**
 * @param {string} name
 * @param {Version[]} versions newest first
 */
function overview(name, versions) {
  return h(
    "div",
    { class: "stack loose" },
    h(
      "section",
      { class: "card stack", "aria-labelledby": "over-time" },
      h("h2", { id: "over-time" }, "Accuracy over time"),
      accuracyChart(name, versions),
      h(
        "p",
        { class: "small muted" },
        "The filled point is live. Bars show how far chance in the choice of images may move it.",
      ),
      tableBehind(
        table(
          "Accuracy of each version",
          ["Version", "Learnt from", "Classes", "Accuracy", "Forgetting"],
          versions.map((version) => [
            `${version.number}`,
            version.parent === null ? "–" : `${version.parent}`,
            `${version.class_count}`,
            percent(accuracyOf(version)),
            percent(forgettingOf(version)),
          ]),
        ),
      ),
    ),
    h(
      "section",
      { class: "stack", "aria-labelledby": "history" },
      h(
        "div",
        { class: "row apart" },
        h("h2", { id: "history" }, "History"),
        h("p", { class: "small muted" }, "Open a version to compare it, serve it or download it."),
      ),
      h(
        "div",
        { class: "card history" },
        tree(versions),
        h("ol", { class: "history-rows" }, ...versions.map((version) => row(name, version))),
      ),
    ),
    classifierSection(name),
  );
}

/**
 * @param {string} name
 * @param {Version} version
 */
function row(name, version) {
  const to = link("/classifiers/:name/versions/:version", { name, version: `${version.number}` });
  const from = version.parent === null ? "" : `from version ${version.parent} · `;
  return h(
    "li",
    null,
    h(
      "a",
      { class: "history-row", href: to },
      h(
        "span",
        { class: "grow" },
        h(
          "span",
          { class: "row tight" },
          h("strong", null, `Version ${version.number}`),
          aliasBadges(version.aliases),
        ),
        h(
          "span",
          { class: "small muted cut block" },
          `${from}${count(version.class_count, "class", "classes")} · ${ago(version.created_at)}`,
        ),
      ),
      h("span", { class: "history-accuracy number" }, percent(accuracyOf(version))),
    ),
  );
}
