// The service's advice: it tries methods and networks on images, and says which to choose.

import { get, path, post } from "../../api/client.js";
import { cancel } from "../../api/jobs.js";
import { discard } from "../../api/uploads.js";
import { h } from "../../lib/dom.js";
import { bytes, count } from "../../lib/format.js";
import { onEnd, signal } from "../../lib/signals.js";
import { newDraft } from "../../staged/drafts.js";
import { Sending } from "../../staged/sending.js";
import { droppable, dropZone, fileButton } from "../../ui/drop_zone.js";
import { jobPanel } from "../../ui/job_panel.js";
import { problemNotice } from "../../ui/notice.js";
import { loading } from "../../ui/resource.js";
import { adviceTable } from "./advice_table.js";

/** @typedef {import("../../media/files.js").Entry} Entry */
/** @typedef {import("../../api/types.js").Job} Job */
/** @typedef {import("./advice_table.js").Advice} Advice */

const SECONDS = 60;

/** @typedef {import("../../staged/drafts.js").Draft} Draft */

/**
 * @param {(choice: Record<string, unknown>) => void} choose takes the fields of the new classifier
 * @param {(draft: Draft) => void} tried takes the images, to be taught
 */
export function advisor(choose, tried) {
  const sending = signal(/** @type {Sending | null} */ (null));
  const job = signal(/** @type {Job | null} */ (null));
  const advice = signal(/** @type {Advice | null} */ (null));
  const problem = signal(/** @type {unknown} */ (null));
  const failed = (/** @type {unknown} */ error) => {
    problem.value = error;
    sending.value = null;
  };
  let over = false;
  onEnd(() => void forget());

  /** @param {Entry[]} entries */
  async function take(entries) {
    problem.value = null;
    const draft = newDraft();
    await draft.staged.addFolders(entries);
    const now = new Sending(draft.staged.items.peek(), (upload) =>
      post("v1/advice", { uploads: [upload], seconds: SECONDS }),
    );
    sending.value = now;
    job.value = await now.run();
    if (job.peek() === null) return failed(now.problem.peek());
    tried(draft);
  }

  /** @param {Job} last */
  async function end(last) {
    over = true;
    if (last.state !== "succeeded") return;
    try {
      const report = await get(path`v1/jobs/${last.id}/report`);
      advice.value = report;
      choose(report.recommendation?.classifier ?? {});
    } catch (error) {
      problem.value = error;
    }
    await forget();
  }

  /** The images are sent again when they are taught. */
  async function forget() {
    const [upload, asked] = [sending.peek()?.upload, job.peek()];
    sending.value = null;
    job.value = null;
    try {
      // Its images are deleted some days after it has ended.
      if (asked && !over) await cancel(asked.id);
      else if (upload) await discard(upload.id);
    } catch (error) {
      problem.value = error;
    }
  }

  return h(
    "div",
    { class: "stack more" },
    () => (problem.value ? problemNotice(problem.value) : null),
    () => {
      if (advice.value) return adviceTable(advice.value, choose);
      if (job.value) return jobPanel(job.value, (last) => void end(last));
      if (sending.value) return onTheWay(sending.value);
      return zone();
    },
  );

  function zone() {
    const place = dropZone(
      "Which method suits your images?",
      "Drop a folder for each class. It measures methods and networks on your images for a minute, and says which to choose.",
      {
        symbol: "gauge",
        large: false,
        buttons: [
          fileButton("Choose a folder to try", {
            take,
            failed,
            folder: true,
            look: { icon: "folder" },
          }),
        ],
      },
    );
    droppable(place, take, failed);
    return place;
  }
}

/** @param {Sending} now */
function onTheWay(now) {
  const size = now.items.reduce((sum, each) => sum + each.size, 0);
  return h(
    "div",
    { class: "stack tight" },
    h(
      "p",
      { role: "status" },
      () =>
        `Sending: ${now.sent.value.size} of ${count(now.items.length, "image")} (${bytes(size)}).`,
    ),
    loading(),
  );
}
