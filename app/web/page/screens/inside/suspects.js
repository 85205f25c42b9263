// Labels that are likely to be wrong: one image at a time, each decided with one key.

import { all, get, path } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { count } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { computed, signal } from "../../lib/signals.js";
import { linkButton } from "../../ui/button.js";
import { gallery } from "../../ui/gallery.js";
import { empty } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";
import { review } from "./review.js";
import { outcome } from "./words.js";

/** @typedef {import("../../api/types.js").Judgement & {used: "held_out" | "trained"}} Suspect */
/** @typedef {{held_out: number, trained: number, of_trained: number}} LookedAt */

const MOST = 5000;

/** @param {import("./inside.js").Inside} inside */
export function suspectsPart(inside) {
  const from = path`v1/classifiers/${inside.name}/versions/${inside.version.number}/suspects`;
  const found = resource(async (signal) => {
    const [first, images] = await Promise.all([
      get(from, { query: { limit: 1 }, signal }),
      all(from, { query: { limit: 1000 }, most: MOST, signal }),
    ]);
    return {
      lookedAt: /** @type {LookedAt} */ (first.looked_at),
      images: /** @type {Suspect[]} */ (images),
    };
  });
  return shown(found, ({ images, lookedAt }) =>
    images.length ? decide(inside, images, lookedAt) : none(inside, lookedAt),
  );
}

/**
 * @param {import("./inside.js").Inside} inside
 * @param {LookedAt} lookedAt
 */
function none({ name }, lookedAt) {
  return empty(
    "check",
    "No label looks wrong",
    `${seen(lookedAt)} None of them is surely of another class than its label says.`,
    linkButton("See all versions", link("/classifiers/:name/versions", { name })),
  );
}

/** @param {LookedAt} lookedAt */
function seen({ held_out, trained, of_trained }) {
  const learnt = trained
    ? ` and ${trained.toLocaleString("en")} of ${of_trained.toLocaleString("en")} learnt ones, each judged by a version without it`
    : "";
  return `Looked at ${count(held_out, "held-out image")}${learnt}.`;
}

/**
 * @param {import("./inside.js").Inside} inside
 * @param {readonly Suspect[]} images
 * @param {LookedAt} lookedAt
 */
function decide(inside, images, lookedAt) {
  const { decisions } = inside.corrections;
  const index = signal(0);
  const stage = review(inside, images, index);
  const texts = computed(() =>
    images.map((image) => ({
      sha256: image.sha256,
      title: image.label,
      text: outcome(image, decisions.value.get(image.sha256)),
      wrong: !decisions.value.has(image.sha256),
    })),
  );
  return h(
    "div",
    { class: "stack loose" },
    h(
      "p",
      { class: "muted" },
      `${seen(lookedAt)} Likely to be wrong: ${count(images.length, "label")}.`,
    ),
    stage,
    h(
      "section",
      { class: "stack", "aria-labelledby": "all-suspects" },
      h("h2", { id: "all-suspects" }, "All of them, the most likely first"),
      gallery("Suspected labels", () => texts.value, {
        open(chosen) {
          index.value = chosen;
          stage.focus();
          stage.scrollIntoView({ block: "nearest" });
        },
      }),
    ),
  );
}
