// What a screen asks the service for: waiting, there, or failed with a way to try again.

import { isAbort } from "../api/problem.js";
import { h } from "../lib/dom.js";
import { signal, untracked, whileShown } from "../lib/signals.js";
import { problemNotice } from "./notice.js";

/**
 * @template T
 * @typedef {object} Resource
 * @property {import("../lib/signals.js").Signal<T | undefined>} data
 * @property {import("../lib/signals.js").Signal<unknown>} problem
 * @property {() => Promise<void>} reload what is shown stays until the answer is there
 */

/**
 * Asks for something, as long as the screen is shown.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @returns {Resource<T>}
 */
export function resource(load) {
  const data = signal(/** @type {T | undefined} */ (undefined));
  const problem = signal(/** @type {unknown} */ (null));
  const shown = whileShown();
  async function reload() {
    try {
      const found = await load(shown);
      if (shown.aborted) return;
      data.value = found;
      problem.value = null;
    } catch (error) {
      if (!isAbort(error) && !shown.aborted) problem.value = error;
    }
  }
  untracked(() => void reload());
  return { data, problem, reload };
}

/**
 * Shows a resource once it is there.
 * @template T
 * @param {Resource<T>} from
 * @param {(data: T) => import("../lib/dom.js").Child} show
 * @param {() => import("../lib/dom.js").Child} [waiting]
 */
export function shown(from, show, waiting = loading) {
  return () => {
    if (from.problem.value) return problemNotice(from.problem.value, () => void from.reload());
    const data = from.data.value;
    return [data === undefined ? waiting() : untracked(() => show(data))];
  };
}

/** Shows that something is on its way. */
export function loading() {
  return h(
    "div",
    { class: "loading", role: "status" },
    h("span", { class: "visually-hidden" }, "Loading…"),
  );
}
