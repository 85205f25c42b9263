// Teaching: images are gathered under their classes, looked over, sent and learnt.

import { get, path, post } from "../../api/client.js";
import { ended } from "../../api/jobs.js";
import { classesOf } from "../../api/versions.js";
import { each, h } from "../../lib/dom.js";
import { count } from "../../lib/format.js";
import { computed, signal } from "../../lib/signals.js";
import { button } from "../../ui/button.js";
import { hasCamera } from "../../ui/camera.js";
import { droppable, dropZone, fileButton } from "../../ui/drop_zone.js";
import { jobPanel } from "../../ui/job_panel.js";
import { notice, problemNotice } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";
import { openCamera } from "./camera_dialog.js";
import { classCard } from "./class_card.js";
import { learnBar } from "./learn_bar.js";
import { leftOutNotice } from "./left_out.js";
import { result } from "./result.js";
import { draftOf } from "../../staged/drafts.js";
import { Sending } from "../../staged/sending.js";
import { freeLabel } from "../../staged/staging.js";

/** @typedef {import("../../api/types.js").Job} Job */

/** @typedef {{number: number, newest: number}} Base the version to start from, and the newest one */

/** @type {import("../../screens.js").MakeScreen} */
export function screen({ params }) {
  const name = params.name ?? "";
  // The version to teach on top of; null: the live one.
  const chosen = signal(/** @type {number | null} */ (null));
  const before = resource(async (aborted) => {
    const of = path`v1/classifiers/${name}`;
    const [{ live }, versions, jobs] = await Promise.all([
      get(of, { signal: aborted }),
      get(`${of}/versions`, { query: { limit: 1 }, signal: aborted }),
      get("v1/jobs", { query: { classifier: name, limit: 1 }, signal: aborted }),
    ]);
    const number = /** @type {number | null} */ (chosen.peek() ?? live);
    const classes = number === null ? [] : await classesOf(`${of}/versions/${number}`, aborted);
    const newest = versions.data[0]?.number ?? number;
    return {
      known: /** @type {string[]} */ (classes.map(({ label }) => label)),
      base: number === null ? null : { number, newest },
      job: /** @type {Job | null} */ (
        jobs.data.find((/** @type {Job} */ job) => !ended(job)) ?? null
      ),
    };
  });
  const startFrom = (/** @type {number} */ number) => {
    chosen.value = number;
    void before.reload();
  };
  return shown(before, ({ known, base, job }) => teaching(name, known, base, job, startFrom));
}

/**
 * @param {string} name
 * @param {string[]} known labels that the classifier knows
 * @param {Base | null} base
 * @param {Job | null} going a job that has not ended
 * @param {(version: number) => void} startFrom
 */
function teaching(name, known, base, going, startFrom) {
  const { staged, sending, job } = draftOf(name, known);
  if (going) job.value = going;
  const made = signal(/** @type {number | null} */ (null));
  const problem = signal(/** @type {unknown} */ (null));
  const failed = (/** @type {unknown} */ error) => (problem.value = error);
  const take = (/** @type {import("../../media/files.js").Entry[]} */ entries) => {
    problem.value = null;
    made.value = null;
    return staged.addFolders(entries);
  };

  async function learn() {
    const now = sending.peek() ?? new Sending(staged.items.peek(), ask);
    sending.value = now;
    const queued = await now.run();
    if (!queued) return;
    sending.value = null;
    staged.clear();
    staged.leftOut.value = now.upload?.rejected ?? [];
    job.value = queued;
  }

  /** @param {string} upload @returns {Promise<Job>} */
  function ask(upload) {
    // The screen says which classes are known: more images of one are meant for it.
    const body = { kind: "learn", uploads: [upload], on_existing: "extend" };
    const from = base ? { base_version: base.number } : {};
    return post(path`v1/classifiers/${name}/jobs`, { ...body, ...from });
  }

  async function giveUp() {
    const now = sending.peek();
    sending.value = null;
    await now?.cancel().catch(failed);
  }

  /** @param {Job} last */
  async function over(last) {
    if (last.state !== "succeeded" || last.version === null) return;
    job.value = null;
    made.value = last.version;
    base = { number: last.version, newest: last.version };
    const classes = await classesOf(path`v1/classifiers/${name}/versions/${last.version}`);
    staged.known.value = classes.map(({ label }) => label);
  }

  const isEmpty = computed(() => staged.groups.value.length === 0);
  const isNew = computed(() => isEmpty.value && !job.value && made.value === null);
  const screen = h(
    "div",
    { class: "stack wide-apart" },
    () => (job.value ? jobPanel(job.value, over) : null),
    () => (made.value === null ? null : result(name, made.value)),
    () => (sending.value ? null : zone(isNew.value)),
    () => (problem.value ? problemNotice(problem.value) : null),
    () => (made.value === null && base ? olderBase(base, startFrom) : null),
    leftOutNotice(staged),
    h(
      "div",
      { class: "classes" },
      each(
        () => staged.groups.value,
        (group) => group.key,
        (group) => classCard(staged, group.key, () => sending.value, failed),
      ),
    ),
    () => (isEmpty.value ? knownClasses(staged.known.value) : null),
    () => (isEmpty.value ? null : learnBar(staged, () => sending.value, { learn, giveUp })),
  );
  return screen;

  /** @param {boolean} large */
  function zone(large) {
    const place = dropZone(
      large ? "Drop a folder for each class" : "Add more",
      large
        ? "A class is a thing to be told apart, such as “tulip”. The name of a folder is the name of its class. Zips and single images will do as well."
        : "Drop folders, zips or images here.",
      {
        symbol: "upload",
        large,
        buttons: [
          fileButton("Choose a folder", {
            take,
            failed,
            folder: true,
            look: { icon: "folder", kind: large ? "primary" : undefined },
          }),
          fileButton("Choose images", { take, failed, look: { icon: "image" } }),
          hasCamera()
            ? button("Use the camera", {
                icon: "camera",
                onclick: () =>
                  openCamera(
                    staged,
                    freeLabel([
                      ...staged.known.peek(),
                      ...staged.groups.peek().map(({ label }) => label),
                    ]),
                  ),
              })
            : null,
        ],
      },
    );
    droppable(place, take, failed);
    return place;
  }
}

/**
 * Says what is not built upon.
 * @param {Base} base
 * @param {(version: number) => void} startFrom
 */
function olderBase({ number, newest }, startFrom) {
  if (number >= newest) return null;
  return notice(
    "info",
    `You teach on top of version ${number}`,
    h(
      "p",
      null,
      `It is the one that answers now. What later versions have learnt, or had corrected, will not be in what you make.`,
    ),
    button(`Build on version ${newest} instead`, { onclick: () => startFrom(newest) }),
  );
}

/** @param {readonly string[]} known */
function knownClasses(known) {
  if (!known.length) return null;
  return h(
    "section",
    { class: "stack tight" },
    h("h2", null, `It knows ${count(known.length, "class", "classes")}`),
    h(
      "p",
      { class: "muted" },
      "New classes are added to these. Images of one of them teach it better.",
    ),
    h(
      "ul",
      { class: "chips" },
      known.map((label) => h("li", { class: "badge" }, label)),
    ),
  );
}
