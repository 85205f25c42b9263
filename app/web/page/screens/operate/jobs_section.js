// Jobs of all classifiers, newest first, by state and kind.

import { get, post, path } from "../../api/client.js";
import { ended } from "../../api/jobs.js";
import { h } from "../../lib/dom.js";
import { ago, duration, percent } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { signal } from "../../lib/signals.js";
import { announce } from "../../ui/announce.js";
import { button } from "../../ui/button.js";
import { select } from "../../ui/field.js";
import { problemNotice } from "../../ui/notice.js";
import { repeat } from "../../ui/repeat.js";
import { loading, resource, shown } from "../../ui/resource.js";
import { table } from "../../ui/table.js";

/** @typedef {import("../../api/types.js").Job} Job */

const SECONDS = 5;
const AT_ONCE = 25;
const STATES = [
  { label: "All", states: "" },
  { label: "Waiting", states: "queued" },
  { label: "Running", states: "running,cancelling" },
  { label: "Failed", states: "failed" },
  { label: "Done", states: "succeeded,cancelled" },
];
const KINDS = [
  { value: "", label: "Of any kind" },
  { value: "learn", label: "Learn" },
  { value: "correct", label: "Correct" },
  { value: "forget", label: "Forget" },
  { value: "evaluate", label: "Evaluate" },
  { value: "advise", label: "Advise" },
];

export function jobsSection() {
  const states = signal("");
  const most = signal(AT_ONCE);
  const problem = signal(/** @type {unknown} */ (null));
  const kind = select(KINDS, {
    class: "narrow",
    "aria-label": "Kind of job",
    onchange: () => void jobs.reload(),
  });
  const jobs = resource(async (aborted) => {
    const query = {
      state: states.peek() || null,
      kind: kind.value || null,
      limit: most.peek(),
    };
    const page = await get("v1/jobs", { query, signal: aborted });
    return { jobs: /** @type {Job[]} */ (page.data), more: Boolean(page.has_more) };
  });
  repeat(jobs.reload, SECONDS);

  /**
   * @param {Job} job
   * @param {"cancel" | "retry"} action
   */
  async function act(job, action) {
    problem.value = null;
    try {
      await post(path`v1/jobs/${job.id}/${action}`, undefined);
      announce(action === "cancel" ? "It is asked to stop." : "It is queued again.");
      await jobs.reload();
    } catch (error) {
      problem.value = error;
    }
  }

  return h(
    "section",
    { class: "card stack", "aria-labelledby": "jobs" },
    h(
      "div",
      { class: "row apart" },
      h("h2", { id: "jobs" }, "Jobs"),
      h(
        "div",
        { class: "row" },
        h(
          "div",
          { class: "parts", role: "group", "aria-label": "State" },
          ...STATES.map((each) =>
            h(
              "button",
              {
                type: "button",
                "aria-pressed": () => `${states.value === each.states}`,
                onclick() {
                  states.value = each.states;
                  most.value = AT_ONCE;
                  void jobs.reload();
                },
              },
              each.label,
            ),
          ),
        ),
        kind,
      ),
    ),
    () => (problem.value ? problemNotice(problem.value) : null),
    shown(
      jobs,
      (found) => [
        found.jobs.length
          ? table(
              "Jobs, newest first",
              ["Job", "State", "Classifier", "Version", "Made", "Took", "Change"],
              found.jobs.map((job) => row(job, act)),
            )
          : h("p", { class: "muted" }, "There are no such jobs."),
        found.more
          ? h(
              "div",
              { class: "row center" },
              button("Show more", {
                onclick() {
                  most.value = Math.min(1000, most.value * 4);
                  void jobs.reload();
                },
              }),
            )
          : null,
      ],
      loading,
    ),
  );
}

/**
 * @param {Job} job
 * @param {(job: Job, action: "cancel" | "retry") => void} act
 * @returns {import("../../lib/dom.js").Child[]}
 */
function row(job, act) {
  const { classifier: name, version, started_at: start, finished_at: end } = job;
  return [
    h("span", { title: job.id }, job.kind),
    state(job),
    name === null ? "–" : h("a", { href: link("/classifiers/:name/versions", { name }) }, name),
    name === null || version === null
      ? "–"
      : h(
          "a",
          {
            href: link("/classifiers/:name/versions/:version", { name, version: `${version}` }),
            "aria-label": `Version ${version} of ${name}`,
          },
          `${version}`,
        ),
    h("span", { class: "unbroken" }, ago(job.created_at)),
    start && end ? h("span", { class: "unbroken" }, took(start, end)) : "–",
    !ended(job) && job.state !== "cancelling"
      ? button(`Cancel ${job.kind}`, {
          icon: "stop",
          kind: "quiet",
          alone: true,
          onclick: () => act(job, "cancel"),
        })
      : job.state === "failed" || job.state === "cancelled"
        ? button(`Try ${job.kind} again`, {
            icon: "retry",
            kind: "quiet",
            alone: true,
            onclick: () => act(job, "retry"),
          })
        : null,
  ];
}

/**
 * @param {string} start
 * @param {string} end
 */
function took(start, end) {
  return duration((Date.parse(end) - Date.parse(start)) / 1000);
}

/** @param {Job} job */
function state(job) {
  if (job.state === "succeeded") return h("span", { class: "badge good" }, "done");
  if (job.state === "failed") {
    return [
      h("span", { class: "badge error" }, "failed"),
      h("p", { class: "small muted job-error" }, job.error?.detail),
    ];
  }
  if (job.state === "cancelled") return h("span", { class: "badge" }, "cancelled");
  const share = job.progress ? ` ${percent(job.progress.fraction, 0)}` : "";
  const place = job.queue_position === null ? "" : `, place ${job.queue_position}`;
  return h("span", { class: "badge warning" }, `${job.state}${share}${place}`);
}
