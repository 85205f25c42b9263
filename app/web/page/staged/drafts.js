// What waits to be taught, by classifier. It outlives the screen, and ends with the page.

import { scoped, signal } from "../lib/signals.js";
import { Staged } from "./state.js";

/** @typedef {import("./sending.js").Sending} Sending */
/** @typedef {import("../api/types.js").Job} Job */

/**
 * @typedef {object} Draft
 * @property {Staged} staged
 * @property {import("../lib/signals.js").Signal<Sending | null>} sending
 * @property {import("../lib/signals.js").Signal<Job | null>} job that learns what was sent
 */

/** @type {Map<string, Draft>} */
const drafts = new Map();

/**
 * Returns the draft of a classifier.
 * @param {string} name
 * @param {readonly string[]} known labels that the classifier knows by now
 * @returns {Draft}
 */
export function draftOf(name, known) {
  const found = drafts.get(name) ?? newDraft();
  drafts.set(name, found);
  found.staged.known.value = known;
  return found;
}

/**
 * Makes a draft the one of a classifier, which is new.
 * @param {string} name
 * @param {Draft} draft
 */
export function keepDraft(name, draft) {
  drafts.set(name, draft);
}

/**
 * Makes a draft that is no classifier's yet.
 * @returns {Draft}
 */
export function newDraft() {
  const [draft] = scoped(() => ({
    staged: new Staged(),
    sending: signal(/** @type {Sending | null} */ (null)),
    job: signal(/** @type {Job | null} */ (null)),
  }));
  return draft;
}

addEventListener("beforeunload", (event) => {
  const waits = [...drafts.values()].some(({ staged }) => staged.items.peek().length > 0);
  if (waits) event.preventDefault(); // the browser asks
});
