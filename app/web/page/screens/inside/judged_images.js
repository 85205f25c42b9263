// Images that a version judges, with what it says of them, loaded as they are scrolled to.

import { get, path } from "../../api/client.js";
import { isAbort } from "../../api/problem.js";
import { h } from "../../lib/dom.js";
import { computed, signal, whileShown } from "../../lib/signals.js";
import { gallery } from "../../ui/gallery.js";
import { problemNotice } from "../../ui/notice.js";
import { loading } from "../../ui/resource.js";
import { openImage } from "./image_dialog.js";
import { outcome } from "./words.js";

/** @typedef {import("../../api/types.js").Judgement} Judgement */

const AT_ONCE = 500;

/**
 * @param {import("./inside.js").Inside} inside
 * @param {string} title
 * @param {{label?: string, predicted?: string, used?: import("../../api/types.js").Use}} chosen
 */
export function judgedImages(inside, title, chosen) {
  const { name, version, corrections } = inside;
  const from = path`v1/classifiers/${name}/versions/${version.number}/judged`;
  const images = signal(/** @type {Judgement[]} */ ([]));
  const problem = signal(/** @type {unknown} */ (null));
  const first = signal(true);
  const shown = whileShown();
  /** @type {string | null | undefined} */
  let next;
  let busy = false;

  async function more() {
    if (busy || next === null) return;
    busy = true;
    try {
      const query = { ...chosen, limit: AT_ONCE, after: next };
      const page = await get(from, { query, signal: shown });
      next = page.next;
      images.value = [...images.peek(), ...page.data];
      problem.value = null;
    } catch (error) {
      if (!isAbort(error) && !shown.aborted) problem.value = error;
    } finally {
      busy = false;
      first.value = false;
    }
  }

  void more();
  const cells = computed(() =>
    images.value.map((image) => ({
      sha256: image.sha256,
      title: image.label,
      text: outcome(image, corrections.decisions.value.get(image.sha256)),
      wrong: image.label !== image.predicted,
    })),
  );
  return h(
    "div",
    { class: "stack" },
    () => (problem.value ? problemNotice(problem.value, more) : null),
    () => {
      if (first.value) return loading();
      return images.value.length || problem.value
        ? null
        : h("p", { class: "muted" }, "There are no such images.");
    },
    gallery(title, () => cells.value, {
      more,
      open: (index) => {
        const image = images.peek()[index];
        if (image) openImage(inside, image);
      },
    }),
  );
}
