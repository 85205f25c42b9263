// The camera, with an answer to each picture as fast as they come.

import { predict } from "../../api/predictions.js";
import { isAbort } from "../../api/problem.js";
import { sleep } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { effect, signal, whileShown } from "../../lib/signals.js";
import { camera } from "../../ui/camera.js";
import { problemNotice } from "../../ui/notice.js";
import { answerView } from "./answer.js";

// Seconds between an answer and the next picture.
const PAUSE = 0.2;

/** @param {string} classifier */
export function live(classifier) {
  const view = camera();
  const answer = signal(/** @type {import("../../api/predictions.js").Answer | null} */ (null));
  const problem = signal(/** @type {unknown} */ (null));
  const shown = whileShown();

  async function watch() {
    try {
      while (!shown.aborted) {
        const picture = await view.take();
        if (picture) answer.value = await predict(classifier, picture, { signal: shown });
        await sleep(PAUSE, shown);
      }
    } catch (error) {
      if (!isAbort(error) && !shown.aborted) problem.value = error;
    }
  }
  effect(() => {
    if (view.ready.value) void watch();
  });
  return h(
    "div",
    { class: "card try" },
    view.element,
    h("div", { class: "stack" }, () => {
      if (problem.value) return problemNotice(problem.value);
      return answer.value
        ? answerView(classifier, answer.value)
        : h("p", { class: "muted" }, "Hold something into the picture.");
    }),
  );
}
