// The card of a classifier: examples, what it knows, how right it is, and what it does now.

import { get, path } from "../../api/client.js";
import { ended } from "../../api/jobs.js";
import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { ago, count, percent } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { resource } from "../../ui/resource.js";
import { restsOn } from "../../ui/rests_on.js";
import { storedImage } from "../../ui/stored_image.js";
import { icon } from "../../ui/icon.js";
import { onePerLabel } from "./examples.js";

/** @typedef {import("../../api/types.js").Classifier} Classifier */
/** @typedef {import("../../api/types.js").Version} Version */
/** @typedef {import("../../api/types.js").Job} Job */
/** @typedef {import("../../api/types.js").Judgement} Judgement */

const EXAMPLES = 4;
// Enough to find an image of each of so many classes.
const LOOKED_AT = 200;

/** @param {Classifier} classifier */
export function classifierCard(classifier) {
  const { name } = classifier;
  const taught = classifier.live !== null;
  const version = resource(async (signal) =>
    taught
      ? /** @type {Version} */ (await get(path`v1/classifiers/${name}/versions/live`, { signal }))
      : null,
  );
  const job = resource(async (signal) => {
    if (!may("train")) return null;
    const page = await get("v1/jobs", { query: { classifier: name, limit: 1 }, signal });
    return /** @type {Job | null} */ (page.data[0] ?? null);
  });
  return h(
    "a",
    {
      class: "card classifier",
      href: link(begin(taught), { name }),
    },
    strip(name, taught),
    h(
      "div",
      { class: "classifier-text" },
      h("div", { class: "row apart nowrap" }, h("h2", { class: "cut" }, name), () =>
        accuracy(version.data.value ?? null),
      ),
      h("p", { class: "muted" }, () => (taught ? knows(version.data.value) : "Knows nothing yet.")),
      h("p", { class: "small muted" }, () => [
        taught ? h("span", { class: "badge good" }, `Version ${classifier.live} is live`) : null,
        " ",
        lastJob(job.data.value ?? null),
      ]),
    ),
  );
}

/**
 * Returns the address of the screen that one begins with.
 * @param {boolean} taught
 */
function begin(taught) {
  const tries = may("predict") && (taught || !may("train"));
  return `/classifiers/:name/${tries ? "try" : "teach"}`;
}

/** @param {Version | null} version */
function accuracy(version) {
  const goesBy = version?.metrics.goes_by;
  if (!goesBy || goesBy.accuracy === null) return null;
  return h(
    "span",
    { class: "classifier-accuracy number", title: `Right on ${restsOn(goesBy)}` },
    percent(goesBy.accuracy),
    h("span", { class: "visually-hidden" }, " right"),
  );
}

/** @param {Version | null | undefined} version */
function knows(version) {
  if (!version) return "…";
  const images = version.classes.reduce((sum, each) => sum + each.train_images, 0);
  return `${count(version.class_count, "class", "classes")} from ${count(images, "image")}`;
}

/** @param {Job | null} job */
function lastJob(job) {
  if (job === null) return null;
  if (!ended(job)) {
    const share = job.progress ? ` ${percent(job.progress.fraction, 0)}` : "";
    return h(
      "span",
      { class: "badge warning" },
      `${job.state === "queued" ? "Waits" : "Works"}${share}`,
    );
  }
  if (job.state === "failed") return h("span", { class: "badge error" }, "The last job failed");
  return ago(job.finished_at ?? job.created_at);
}

/**
 * @param {string} name
 * @param {boolean} taught
 */
function strip(name, taught) {
  const examples = resource(async (signal) => {
    if (!taught || !may("train")) return [];
    const query = { limit: LOOKED_AT };
    const page = await get(path`v1/classifiers/${name}/versions/live/held-out`, { query, signal });
    return onePerLabel(/** @type {Judgement[]} */ (page.data), EXAMPLES);
  });
  return h("div", { class: "strip", "aria-hidden": "true" }, () => {
    const found = examples.data.value ?? [];
    if (!found.length) return h("div", { class: "strip-none" }, icon("image"));
    return found.map(({ sha256 }) => storedImage(sha256, { alt: "" }));
  });
}
