// A job as it goes: what it does, how far it is, what it has measured, and what it warns of.

import { cancel, ended, eventsAfter, follow, retry } from "../api/jobs.js";
import { isAbort } from "../api/problem.js";
import { h } from "../lib/dom.js";
import { duration, percent, sentence } from "../lib/format.js";
import { computed, signal, whileShown } from "../lib/signals.js";
import { button } from "./button.js";
import { icon } from "./icon.js";
import { lineChart } from "./line_chart.js";
import { notice, problemNotice } from "./notice.js";

/** @typedef {import("../api/types.js").Job} Job */
/** @typedef {import("../api/types.js").JobEvent} JobEvent */
/** @typedef {import("./line_chart.js").Point} Point */

/** @type {readonly (readonly [string, string])[]} */
const PHASES = [
  ["preparing", "Reading the images"],
  ["training", "Learning"],
  ["extracting", "Looking at the images"],
  ["selecting_exemplars", "Choosing what to remember"],
  ["evaluating", "Measuring"],
  ["publishing", "Saving the version"],
];

/**
 * Shows a job and follows it.
 * @param {Job} first the job as it is known
 * @param {(job: Job) => void} [onEnded] called once it has ended
 */
export function jobPanel(first, onEnded) {
  const job = signal(first);
  const problem = signal(/** @type {unknown} */ (null));
  const losses = signal(/** @type {readonly Point[]} */ ([]));
  const accuracies = signal(/** @type {readonly Point[]} */ ([]));
  const warnings = signal(/** @type {JobEvent[]} */ ([]));
  const shown = whileShown();
  // Signals of their own, so that a button stays the same one while the job moves on.
  const offered = computed(() => offer(job.value));
  const over = computed(() => ended(job.value));
  const phase = computed(() => job.value.phase);
  const fraction = () => job.value.progress?.fraction ?? 0;
  // One epoch is no line yet.
  const trains = computed(() => losses.value.length > 1);
  let seen = 0;

  /** @param {Job} now */
  function note(now) {
    job.value = now;
    if (now.state === "running") {
      const { epoch = null, loss = null, held_out_accuracy: accuracy = null } = now.progress ?? {};
      losses.value = grown(losses.peek(), epoch, loss);
      accuracies.value = grown(accuracies.peek(), epoch, accuracy);
    }
    void readEvents();
  }

  async function readEvents() {
    try {
      // Not given up with the screen: the last ones come as the job ends, and the panel with it.
      const events = (await eventsAfter(first.id, seen)).filter(({ seq }) => seq > seen);
      seen = Math.max(seen, ...events.map(({ seq }) => seq));
      const added = events.filter(({ level, type }) => level === "warning" || type === "warning");
      if (added.length) warnings.value = [...warnings.peek(), ...added];
    } catch {
      // The job itself is followed; its next change asks for events again.
    }
  }

  async function start() {
    problem.value = null;
    try {
      const last = await follow(first.id, note, shown);
      onEnded?.(last);
    } catch (error) {
      if (!isAbort(error) && !shown.aborted) problem.value = error;
    }
  }

  /** @param {(id: string) => Promise<Job>} change */
  const ask = (change) => async () => {
    try {
      const wasOver = ended(job.peek());
      job.value = await change(first.id);
      if (wasOver) void start();
    } catch (error) {
      problem.value = error;
    }
  };
  void start();

  return h(
    "section",
    { class: "card stack job", "aria-label": "Job" },
    h(
      "div",
      { class: "row apart" },
      h(
        "h2",
        null,
        h("span", { role: "status" }, () => title(job.value)),
      ),
      () => action(offered.value, ask),
    ),
    () => (over.value ? null : bar(fraction)),
    () => (over.value || first.kind === "advise" ? null : steps(phase.value)),
    () => figures(job.value),
    () => (trains.value ? training(losses, accuracies, job.peek().progress?.epochs ?? 1) : null),
    () => warnings.value.map((event) => notice("warning", null, sentence(event.message))),
    () => failure(job.value),
    () => (problem.value ? problemNotice(problem.value, () => void start()) : null),
  );
}

/** @param {Job} job */
function title(job) {
  const phase = PHASES.find(([name]) => name === job.phase)?.[1];
  if (job.state === "queued")
    return job.queue_position && job.queue_position > 1
      ? `Waits, number ${job.queue_position} in the queue`
      : "About to start";
  if (job.state === "running") return phase ?? "Starting";
  if (job.state === "cancelling") return "Stopping";
  if (job.state === "cancelled") return "Cancelled: nothing has changed";
  return job.state === "failed" ? "It did not work" : "Done";
}

/**
 * Returns what can be done with a job.
 * @param {Job} job
 * @returns {"cancel" | "cancelling" | "retry" | null}
 */
function offer(job) {
  if (job.state === "failed" || job.state === "cancelled") return "retry";
  if (job.state === "succeeded") return null;
  return job.state === "cancelling" ? "cancelling" : "cancel";
}

/**
 * @param {ReturnType<typeof offer>} offered
 * @param {(change: (id: string) => Promise<Job>) => () => Promise<void>} ask
 */
function action(offered, ask) {
  if (offered === null) return null;
  if (offered === "retry") return button("Try again", { icon: "retry", onclick: ask(retry) });
  const disabled = offered === "cancelling";
  return button("Cancel", { icon: "close", disabled, onclick: ask(cancel) });
}

/** @param {() => number} fraction */
function bar(fraction) {
  return h(
    "div",
    {
      class: "bar large",
      role: "progressbar",
      "aria-label": "Progress",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": () => Math.round(100 * fraction()),
    },
    h("span", { style: () => ({ width: `${100 * fraction()}%` }) }),
  );
}

/** @param {string | null} phase */
function steps(phase) {
  const at = PHASES.findIndex(([name]) => name === phase);
  return h(
    "ol",
    { class: "steps" },
    PHASES.map(([, text], index) =>
      h(
        "li",
        {
          class: index < at ? "done" : index === at ? "now" : "",
          "aria-current": index === at ? "step" : null,
        },
        h("span", { class: "step-mark" }, index < at ? icon("check") : null),
        text,
      ),
    ),
  );
}

/** @param {Job} job */
function figures(job) {
  const progress = job.progress;
  if (!progress || ended(job)) return null;
  /** @type {[string, string | null][]} */
  const all = [
    [
      "Accuracy so far",
      progress.held_out_accuracy === null ? null : percent(progress.held_out_accuracy),
    ],
    ["Loss", progress.loss === null ? null : progress.loss.toFixed(3)],
    ["Epoch", progress.epoch === null ? null : `${progress.epoch} of ${progress.epochs}`],
    [
      "Images a second",
      progress.images_per_second === null ? null : String(Math.round(progress.images_per_second)),
    ],
    ["Time left", progress.eta_seconds === null ? null : duration(progress.eta_seconds)],
  ];
  const known = all.filter(([, value]) => value !== null);
  if (!known.length) return null;
  return h(
    "dl",
    { class: "figures" },
    known.map(([name, value]) =>
      h("div", null, h("dt", null, name), h("dd", { class: "number" }, value)),
    ),
  );
}

/**
 * Returns a line with a value at its end; one of the same epoch is replaced.
 * @param {readonly Point[]} line
 * @param {number | null} epoch
 * @param {number | null} value
 * @returns {readonly Point[]}
 */
function grown(line, epoch, value) {
  if (epoch === null || value === null) return line;
  // A second try counts its epochs from 1 again.
  return [...line.filter(({ x }) => x < epoch), { x: epoch, y: value }];
}

/**
 * @param {import("../lib/signals.js").Signal<readonly Point[]>} losses
 * @param {import("../lib/signals.js").Signal<readonly Point[]>} accuracies
 * @param {number} end the number of epochs
 */
function training(losses, accuracies, end) {
  const loss = { title: "Loss", x: "Epoch", y: "Loss", end };
  const accuracy = { title: "Accuracy on held-out images", x: "Epoch", y: "Accuracy", end, top: 1 };
  return h(
    "div",
    { class: "training" },
    lineChart(() => losses.value, { ...loss, shown: (value) => value.toFixed(2) }),
    () =>
      accuracies.value.length
        ? lineChart(() => accuracies.value, { ...accuracy, shown: (value) => percent(value, 0) })
        : null,
  );
}

/** @param {Job} job */
function failure(job) {
  if (!job.error) return null;
  const { detail, retryable } = job.error;
  return notice(
    "error",
    detail,
    h("p", null, retryable ? "Another try may help." : "Another try would end the same way."),
  );
}
