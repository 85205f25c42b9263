// One version: what it knows and how right it is, and what can be done with it.

import { all, get, path } from "../../api/client.js";
import { classesOf } from "../../api/versions.js";
import { h } from "../../lib/dom.js";
import { ago, bytes, count, percent, sentence } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { linkButton } from "../../ui/button.js";
import { notice } from "../../ui/notice.js";
import { loading, resource, shown } from "../../ui/resource.js";
import { tiles } from "../../ui/tiles.js";
import { actions } from "./actions.js";
import { aliasBadges } from "./aliases.js";
import { forgettingOf } from "./changes.js";
import { classTable } from "./class_table.js";
import { matrixFigure } from "./matrix.js";
import { serving } from "./serving.js";

/** @typedef {import("../../api/types.js").Version} Version */
/** @typedef {import("./forgetting.js").MatrixRow} MatrixRow */

/** @type {import("../../screens.js").MakeScreen} */
export function screen({ params: { name, version } }) {
  const base = path`v1/classifiers/${name}/versions/`;
  const found = resource(async (signal) => {
    const [itself, versions] = await Promise.all([
      get(base + encodeURIComponent(version), { signal }),
      all(base.slice(0, -1), { query: { limit: 1000 }, signal }),
    ]);
    return {
      version: /** @type {Version} */ (itself),
      versions: /** @type {Version[]} */ (versions),
    };
  });
  return shown(found, (data) => view(name, data.version, data.versions, found.reload));
}

/**
 * @param {string} name
 * @param {Version} version
 * @param {Version[]} versions
 * @param {() => Promise<void>} reload
 */
function view(name, version, versions, reload) {
  const base = path`v1/classifiers/${name}/versions/${version.number}`;
  const measured = resource(async (signal) => {
    const [classes, rows] = await Promise.all([
      classesOf(base, signal),
      all(`${base}/matrix`, { query: { limit: 1000 }, signal }),
    ]);
    return {
      classes,
      rows: /** @type {MatrixRow[]} */ (rows),
    };
  });
  return h(
    "div",
    { class: "stack loose" },
    h(
      "div",
      { class: "row apart" },
      h(
        "div",
        { class: "stack tight" },
        h(
          "div",
          { class: "row" },
          h("h2", { class: "title" }, `Version ${version.number}`),
          aliasBadges(version.aliases),
        ),
        h("p", { class: "muted" }, madeHow(version)),
      ),
      linkButton("All versions", link("/classifiers/:name/versions", { name }), {
        icon: "back",
        kind: "quiet",
      }),
    ),
    ...(version.metrics.warnings ?? []).map((warning) =>
      notice("warning", null, sentence(warning)),
    ),
    figures(version),
    h(
      "div",
      { class: "columns" },
      serving(name, version, reload),
      actions(name, version, versions, reload),
    ),
    shown(
      measured,
      ({ classes, rows }) => [
        rows.length > 1 && version.metrics.goes_by.used === "held_out"
          ? matrixFigure(version, rows, classes)
          : null,
        classTable(name, version, classes),
      ],
      loading,
    ),
  );
}

/** @param {Version} version */
function madeHow(version) {
  const from = version.parent === null ? "" : ` from version ${version.parent}`;
  return `Made ${ago(version.created_at)}${from} by ${version.method} on ${version.backbone}.`;
}

/** @param {Version} version */
function forgetting({ metrics }) {
  if (metrics.forgetting === null) return "once it has learnt twice";
  return metrics.goes_by.used === "held_out"
    ? "lost of what it knew before"
    : "once more images are held out";
}

/** @param {Version} version */
function figures(version) {
  const { accuracy, images, standard_error: error } = version.metrics.goes_by;
  const give = error ? ` ± ${(200 * error).toFixed(1)}` : "";
  return tiles([
    ["Accuracy", percent(accuracy), `on ${count(images, "image")}${give}`],
    ["Forgetting", percent(forgettingOf(version)), forgetting(version)],
    ["Classes", `${version.class_count}`, "it tells apart"],
    ["Size", bytes(version.size_bytes), "as a file"],
  ]);
}
