// Teaching: images are gathered under their classes, looked over, sent and learnt.

import { all, get, path, post } from "../../api/client.js";
import { ended } from "../../api/jobs.js";
import { each, h } from "../../lib/dom.js";
import { count } from "../../lib/format.js";
import { computed, onEnd, signal } from "../../lib/signals.js";
import { button } from "../../ui/button.js";
import { hasCamera } from "../../ui/camera.js";
import { droppable, dropZone, fileButton } from "../../ui/drop_zone.js";
import { jobPanel } from "../../ui/job_panel.js";
import { problemNotice } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";
import { openCamera } from "./camera_dialog.js";
import { classCard } from "./class_card.js";
import { learnBar } from "./learn_bar.js";
import { leftOutNotice } from "./left_out.js";
import { result } from "./result.js";
import { carried } from "../../staged/carried.js";
import { Sending } from "../../staged/sending.js";
import { freeLabel } from "../../staged/staging.js";
import { Staged } from "../../staged/state.js";

/** @typedef {import("../../api/types.js").Job} Job */

/** @type {import("../../screens.js").MakeScreen} */
export function screen({ params }) {
  const name = params.name ?? "";
  const before = resource(async (aborted) => {
    const classifier = await get(path`v1/classifiers/${name}`, { signal: aborted });
    const query = { classifier: name, limit: 1 };
    const [classes, jobs] = await Promise.all([
      classifier.live === null
        ? []
        : all(path`v1/classifiers/${name}/versions/live/classes`, {
            query: { limit: 1000 },
            signal: aborted,
          }),
      get("v1/jobs", { query, signal: aborted }),
    ]);
    return {
      known: /** @type {string[]} */ (classes.map(({ label }) => label)),
      job: /** @type {Job | null} */ (
        jobs.data.find((/** @type {Job} */ job) => !ended(job)) ?? null
      ),
    };
  });
  return shown(before, ({ known, job }) => teaching(name, known, job));
}

/**
 * @param {string} name
 * @param {string[]} known labels that the classifier knows
 * @param {Job | null} going a job that has not ended
 */
function teaching(name, known, going) {
  const staged = new Staged(known);
  const sending = signal(/** @type {Sending | null} */ (null));
  const job = signal(going);
  const made = signal(/** @type {number | null} */ (null));
  const problem = signal(/** @type {unknown} */ (null));
  const failed = (/** @type {unknown} */ error) => (problem.value = error);
  const take = (/** @type {import("../../media/files.js").Entry[]} */ entries) => {
    problem.value = null;
    made.value = null;
    return staged.addFolders(entries);
  };
  void take(carried()).catch(failed);
  warnBeforeLeaving(() => staged.items.peek().length > 0);

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
    return post(path`v1/classifiers/${name}/jobs`, body);
  }

  async function giveUp() {
    const now = sending.peek();
    sending.value = null;
    await now?.cancel().catch(failed);
  }

  /** @param {Job} last */
  function over(last) {
    if (last.state !== "succeeded" || last.version === null) return;
    staged.known = [...new Set([...staged.known, ...staged.taught])];
    job.value = null;
    made.value = last.version;
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
    () => (isEmpty.value ? knownClasses(staged.known) : null),
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
                    freeLabel([...staged.known, ...staged.groups.peek().map(({ label }) => label)]),
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

/** @param {() => boolean} losesSomething */
function warnBeforeLeaving(losesSomething) {
  /** @param {BeforeUnloadEvent} event */
  function ask(event) {
    if (losesSomething()) event.preventDefault();
  }
  addEventListener("beforeunload", ask);
  onEnd(() => removeEventListener("beforeunload", ask));
}
