// Class by class: the images that the version judges, and those that it remembers, in their order.

import { all, path } from "../../api/client.js";
import { classesOf } from "../../api/versions.js";
import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { signal } from "../../lib/signals.js";
import { field, select } from "../../ui/field.js";
import { gallery } from "../../ui/gallery.js";
import { resource, shown } from "../../ui/resource.js";
import { judgedImages } from "./judged_images.js";

/** @typedef {import("../../api/types.js").MeasuredClass} MeasuredClass */
/** @typedef {{label: string, rank: number, sha256: string}} Exemplar */

/** @param {import("./inside.js").Inside} inside */
export function classesPart(inside) {
  const of = path`v1/classifiers/${inside.name}/versions/${inside.version.number}`;
  const found = resource((aborted) => classesOf(of, aborted));
  return shown(found, (classes) => choose(inside, classes));
}

/**
 * @param {import("./inside.js").Inside} inside
 * @param {readonly MeasuredClass[]} classes
 */
function choose(inside, classes) {
  const chosen = signal(0);
  const choice = select(
    classes.map(({ label, goes_by }, index) => ({
      value: `${index}`,
      label: `${label} – ${percent(goes_by.accuracy)}`,
    })),
    { onchange: () => (chosen.value = Number(choice.value)) },
  );
  return h(
    "div",
    { class: "stack loose" },
    h("div", { class: "class-choice" }, field("Class", choice)),
    () => {
      const known = classes[chosen.value];
      return known ? oneClass(inside, known) : null;
    },
  );
}

/**
 * @param {import("./inside.js").Inside} inside
 * @param {MeasuredClass} known
 */
function oneClass(inside, { label, exemplars }) {
  return [
    h(
      "section",
      { class: "stack", "aria-labelledby": "judged" },
      h("h2", { id: "judged" }, "Images that it judges, the most surely wrong first"),
      h(
        "p",
        { class: "muted" },
        "Those held out, and those learnt that it can judge as if they had not been.",
      ),
      judgedImages(inside, `Judged images of ${label}`, { label }),
    ),
    exemplars
      ? h(
          "section",
          { class: "stack", "aria-labelledby": "exemplars" },
          h("h2", { id: "exemplars" }, "What it remembers, the most typical first"),
          remembered(inside, label),
        )
      : null,
  ];
}

/**
 * @param {import("./inside.js").Inside} inside
 * @param {string} label
 */
function remembered({ name, version }, label) {
  const from = path`v1/classifiers/${name}/versions/${version.number}/exemplars`;
  const found = resource(
    async (aborted) =>
      /** @type {Exemplar[]} */ (
        await all(from, { query: { label, limit: 1000 }, signal: aborted })
      ),
  );
  return shown(found, (images) =>
    gallery(
      `Exemplars of ${label}`,
      images.map(({ sha256, rank }) => ({
        sha256,
        title: `${rank + 1}`,
        text: rank === images.length - 1 ? "goes first" : "",
      })),
    ),
  );
}
