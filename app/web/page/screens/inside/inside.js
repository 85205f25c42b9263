// Looking inside a version: suspected labels, confusions, and each class's images.

import { all, get, path } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { link } from "../../lib/router.js";
import { select } from "../../ui/field.js";
import { linkButton } from "../../ui/button.js";
import { empty } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";
import { classesPart } from "./classes.js";
import { confusionPart } from "./confusion.js";
import { correctionBar } from "./correction_bar.js";
import { correctionsOf } from "./corrections.js";
import { suspectsPart } from "./suspects.js";

/** @typedef {import("../../api/types.js").Version} Version */

/**
 * @typedef {object} Inside what the parts of the screen share
 * @property {string} name of the classifier
 * @property {Version} version
 * @property {import("./corrections.js").Corrections} corrections
 */

const PATH = "/classifiers/:name/inside/:version/:part";

/** @type {readonly {part: string, label: string, show: (inside: Inside) => import("../../lib/dom.js").Child}[]} */
const PARTS = [
  { part: "labels", label: "Suspected labels", show: suspectsPart },
  { part: "confusions", label: "Confusions", show: confusionPart },
  { part: "classes", label: "Classes", show: classesPart },
];

/** @type {import("../../screens.js").MakeScreen} */
export function screen({ params: { name, version = "live", part = "labels" } }) {
  const found = resource(async (signal) => {
    const versions = /** @type {Version[]} */ (
      await all(path`v1/classifiers/${name}/versions`, { query: { limit: 1000 }, signal })
    );
    const chosen = versions.length
      ? await get(path`v1/classifiers/${name}/versions/${version}`, { signal })
      : null;
    return { versions, chosen: /** @type {Version | null} */ (chosen) };
  });
  return shown(found, ({ versions, chosen }) =>
    chosen ? view(name, chosen, versions, part) : nothing(name),
  );
}

/** @param {string} name */
function nothing(name) {
  return empty(
    "eye",
    "Nothing to look into yet",
    "Once it has learnt, you see here what it mixes up, and which labels are likely to be wrong.",
    linkButton("Teach it", link("/classifiers/:name/teach", { name }), { kind: "primary" }),
  );
}

/**
 * @param {string} name
 * @param {Version} version
 * @param {readonly Version[]} versions
 * @param {string} part
 */
function view(name, version, versions, part) {
  const corrections = correctionsOf(name, version.number);
  const inside = { name, version, corrections };
  const chosen = PARTS.find((each) => each.part === part);
  return h(
    "div",
    { class: "stack loose" },
    h(
      "div",
      { class: "row apart bottom" },
      h(
        "nav",
        { class: "parts", "aria-label": "What to look at" },
        ...PARTS.map((each) =>
          h(
            "a",
            {
              href: link(PATH, { name, version: `${version.number}`, part: each.part }),
              "aria-current": each === chosen ? "page" : null,
            },
            each.label,
          ),
        ),
      ),
      versionChoice(name, version, versions, part),
    ),
    chosen ? chosen.show(inside) : null,
    correctionBar(inside),
  );
}

/**
 * @param {string} name
 * @param {Version} version
 * @param {readonly Version[]} versions
 * @param {string} part
 */
function versionChoice(name, version, versions, part) {
  const choices = versions.map(({ number, aliases }) => ({
    value: `${number}`,
    label: `Version ${number}${aliases.length ? ` (${aliases.join(", ")})` : ""}`,
  }));
  const control = select(choices, {
    value: `${version.number}`,
    "aria-label": "Version",
    class: "narrow",
    onchange: () => (location.hash = link(PATH, { name, version: control.value, part })),
  });
  return control;
}
