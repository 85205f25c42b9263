// Corrections become a new version, and its effect is shown.

import { get, path, post } from "../../api/client.js";
import { ended, follow } from "../../api/jobs.js";
import { isAbort } from "../../api/problem.js";
import { h } from "../../lib/dom.js";
import { count, percent } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { signal, whileShown } from "../../lib/signals.js";
import { announce } from "../../ui/announce.js";
import { button, linkButton } from "../../ui/button.js";
import { notice, problemNotice } from "../../ui/notice.js";
import { accuracyOf, changesBetween, points } from "../versions/changes.js";
import { requested } from "./corrections.js";

/** @typedef {import("../../api/types.js").Job} Job */
/** @typedef {import("../../api/types.js").Version} Version */

/** @param {import("./inside.js").Inside} inside */
export function correctionBar({ name, version, corrections }) {
  const job = signal(/** @type {Job | null} */ (null));
  const made = signal(/** @type {Version | null} */ (null));
  const problem = signal(/** @type {unknown} */ (null));
  const shown = whileShown();

  async function apply() {
    const images = requested(corrections.decisions.peek());
    problem.value = made.value = null;
    try {
      const queued = await post(path`v1/classifiers/${name}/jobs`, {
        kind: "correct",
        base_version: version.number,
        images,
      });
      job.value = queued;
      const last = await follow(queued.id, (now) => (job.value = now), shown);
      if (last.version === null) return;
      made.value = await get(path`v1/classifiers/${name}/versions/${last.version}`, {
        signal: shown,
      });
      corrections.clear();
      announce(`Version ${last.version} has the right labels.`);
    } catch (error) {
      if (!isAbort(error) && !shown.aborted) problem.value = error;
    }
  }

  return h("div", { class: "correction-bar" }, () => {
    const [running, young] = [job.value, made.value];
    const images = requested(corrections.decisions.value);
    if (problem.value) return problemNotice(problem.value, apply);
    if (running && !ended(running)) return waiting(running);
    if (young) return effect(name, version, young);
    if (running?.error) return notice("error", "It was not corrected", running.error.detail);
    return images.length ? pending(images, apply, corrections.clear) : null;
  });
}

/**
 * @param {readonly {label: string | null}[]} images
 * @param {() => void} apply
 * @param {() => void} clear
 */
function pending(images, apply, clear) {
  const leftOut = images.filter(({ label }) => label === null).length;
  const changed = images.length - leftOut;
  const parts = [
    changed ? `${count(changed, "label")} to correct` : null,
    leftOut ? `${count(leftOut, "image")} to leave out` : null,
  ];
  return h(
    "div",
    { class: "card raised row apart" },
    h("strong", { role: "status" }, parts.filter(Boolean).join(", ")),
    h(
      "div",
      { class: "row" },
      button("Start over", { kind: "quiet", onclick: clear }),
      button("Make a new version", { kind: "primary", icon: "spark", onclick: apply }),
    ),
  );
}

/** @param {Job} job */
function waiting(job) {
  const share = job.progress?.fraction ?? 0;
  return h(
    "div",
    { class: "card raised stack tight" },
    h("strong", null, job.state === "queued" ? "Waits for its turn" : "Making the new version…"),
    h(
      "div",
      {
        class: "bar",
        role: "progressbar",
        "aria-label": "Correction",
        "aria-valuenow": Math.round(100 * share),
      },
      h("span", { style: { width: `${100 * share}%` } }),
    ),
  );
}

/**
 * @param {string} name
 * @param {Version} old
 * @param {Version} young
 */
function effect(name, old, young) {
  const { accuracy } = changesBetween(old, young);
  const [before, after] = [`${old.number}`, `${young.number}`];
  return h(
    "div",
    { class: "card raised row apart" },
    h(
      "div",
      { role: "status" },
      h("strong", null, `Version ${after} has the right labels. `),
      `Accuracy: ${percent(accuracyOf(old))} before, ${percent(accuracyOf(young))} now (${points(accuracy)}).`,
    ),
    h(
      "div",
      { class: "row" },
      linkButton(
        "Compare",
        link("/classifiers/:name/compare/:before/:after", { name, before, after }),
        {
          icon: "split",
        },
      ),
      linkButton(
        `Look inside version ${after}`,
        link("/classifiers/:name/inside/:version", { name, version: after }),
        { icon: "eye", kind: "primary" },
      ),
    ),
  );
}
