// Why a version says what it says of a stored image: a heat map, made when it is asked for.

import { path, send } from "../../api/client.js";
import { pictureOf, predict } from "../../api/predictions.js";
import { isAbort } from "../../api/problem.js";
import { h } from "../../lib/dom.js";
import { onEnd, signal, whileShown } from "../../lib/signals.js";
import { button } from "../../ui/button.js";
import { problemNotice } from "../../ui/notice.js";

/**
 * @param {import("./inside.js").Inside} inside
 * @param {string} sha256
 */
export function whyButton({ name, version }, sha256) {
  const shown = whileShown();
  const address = signal(/** @type {string | null} */ (null));
  const label = signal("");
  const problem = signal(/** @type {unknown} */ (null));
  onEnd(() => address.peek() && URL.revokeObjectURL(address.peek() ?? ""));

  async function explain() {
    problem.value = null;
    try {
      const image = await send("GET", path`v1/images/${sha256}`, { signal: shown });
      const answer = await predict(name, await image.blob(), {
        version: version.number,
        explain: true,
        signal: shown,
      });
      label.value = answer.label;
      address.value = URL.createObjectURL(pictureOf(answer.heat_map ?? ""));
    } catch (error) {
      if (!isAbort(error) && !shown.aborted) problem.value = error;
    }
  }

  return h("div", { class: "why stack tight" }, () => {
    if (problem.value) return problemNotice(problem.value);
    if (!address.value) return button("Why?", { icon: "eye", kind: "quiet", onclick: explain });
    return h(
      "figure",
      { class: "stack tight" },
      h("img", { src: address.value, alt: `Where it sees ${label.value}` }),
      h("figcaption", { class: "small muted" }, `Red is what spoke most for ${label.value}.`),
    );
  });
}
