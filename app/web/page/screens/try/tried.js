// One image that was tried: the picture, the answer to it, and why.

import { inShort, pictureOf, predict } from "../../api/predictions.js";
import { h } from "../../lib/dom.js";
import { onEnd, signal } from "../../lib/signals.js";
import { button } from "../../ui/button.js";
import { problemNotice } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";
import { answerView } from "./answer.js";
import { relatives } from "./relatives.js";

/**
 * @param {string} classifier
 * @param {{blob: Blob, said: import("../../lib/signals.js").Signal<string>}} image
 */
export function tried(classifier, { blob: image, said }) {
  const answer = resource(async (signal) => {
    const found = await predict(classifier, image, { signal });
    said.value = inShort(found);
    return found;
  });
  const why = signal(false);
  const heat = signal(/** @type {Blob | null} */ (null));
  const problem = signal(/** @type {unknown} */ (null));
  const original = shownBlob(image, "The image that was tried");

  async function explain() {
    why.value = !why.peek();
    if (!why.peek() || heat.peek()) return;
    try {
      const { heat_map: text } = await predict(classifier, image, { explain: true });
      if (text) heat.value = pictureOf(text);
    } catch (error) {
      why.value = false;
      problem.value = error;
    }
  }

  return h(
    "div",
    { class: "card try" },
    h(
      "div",
      { class: "stack" },
      h("div", { class: "try-image" }, () =>
        why.value && heat.value
          ? shownBlob(heat.value, "Where the answer comes from, in colour")
          : original,
      ),
      h(
        "div",
        { class: "row" },
        button("Why?", { icon: "eye", "aria-pressed": () => String(why.value), onclick: explain }),
        h("span", { class: "muted small grow" }, () =>
          why.value ? "Warm colours are what spoke most for the answer." : "",
        ),
      ),
      () => (problem.value ? problemNotice(problem.value) : null),
    ),
    h(
      "div",
      { class: "stack loose" },
      shown(answer, (found) => [
        answerView(classifier, found),
        () => [relatives(classifier, found.version, found.label, image)],
      ]),
    ),
  );
}

/**
 * @param {Blob} blob
 * @param {string} alt
 */
function shownBlob(blob, alt) {
  const address = URL.createObjectURL(blob);
  onEnd(() => URL.revokeObjectURL(address));
  return h("img", { src: address, alt });
}
