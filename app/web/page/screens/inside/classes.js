// Class by class: the images that are remembered, in their order, and the held-out ones.

import { all, path } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { signal } from "../../lib/signals.js";
import { field, select } from "../../ui/field.js";
import { gallery } from "../../ui/gallery.js";
import { resource, shown } from "../../ui/resource.js";
import { judgedImages } from "./judged_images.js";

/** @typedef {{label: string, rank: number, sha256: string}} Exemplar */

/** @param {import("./inside.js").Inside} inside */
export function classesPart(inside) {
  const { classes, metrics } = inside.version;
  const chosen = signal(0);
  const choice = select(
    classes.map(({ label }, index) => ({
      value: `${index}`,
      label: `${label} – ${percent(metrics.per_class?.[label])}`,
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
 * @param {import("../../api/types.js").VersionClass} known
 */
function oneClass(inside, { label, exemplars }) {
  return [
    h(
      "section",
      { class: "stack", "aria-labelledby": "held-out" },
      h("h2", { id: "held-out" }, "Held-out images, the most surely wrong first"),
      judgedImages(inside, `Held-out images of ${label}`, { label }),
    ),
    h(
      "section",
      { class: "stack", "aria-labelledby": "exemplars" },
      h("h2", { id: "exemplars" }, "What it remembers, the most typical first"),
      exemplars
        ? remembered(inside, label)
        : h("p", { class: "muted" }, "This version keeps no images of it: its method needs none."),
    ),
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
