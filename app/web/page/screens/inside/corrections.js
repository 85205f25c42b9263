// What the reader has decided about labels of a version, until a job has corrected them.

import { signal } from "../../lib/signals.js";

/** @typedef {{sha256: string, label: string}} Labelled */

/**
 * @typedef {object} Decision
 * @property {"correct" | "leave-out" | "keep"} kind
 * @property {string | null} label that the image shall have; null: it is left out
 */

/** @typedef {Map<string, Decision>} Decisions by the image's SHA-256 */

/**
 * @typedef {object} Corrections
 * @property {import("../../lib/signals.js").Signal<Decisions>} decisions
 * @property {(image: Labelled, label: string | null) => void} decide its own label keeps it as it is
 * @property {(image: Labelled) => void} undo
 * @property {() => void} clear
 */

/** @type {Map<string, Corrections>} decisions outlive the screen, and end with the page */
const kept = new Map();

/**
 * Returns the decisions about a version's images.
 * @param {string} name of the classifier
 * @param {number} version
 * @returns {Corrections}
 */
export function correctionsOf(name, version) {
  const of = `${name} ${version}`;
  const found = kept.get(of) ?? newCorrections();
  kept.set(of, found);
  return found;
}

/** @returns {Corrections} */
export function newCorrections() {
  const decisions = signal(/** @type {Decisions} */ (new Map()));
  /** @param {(changed: Decisions) => void} change */
  const update = (change) => {
    const changed = new Map(decisions.peek());
    change(changed);
    decisions.value = changed;
  };
  return {
    decisions,
    decide(image, label) {
      const kind = label === null ? "leave-out" : label === image.label ? "keep" : "correct";
      update((changed) => changed.set(image.sha256, { kind, label }));
    },
    undo: (image) => update((changed) => changed.delete(image.sha256)),
    clear: () => (decisions.value = new Map()),
  };
}

/**
 * Returns what a job of the kind `correct` is asked.
 * @param {Decisions} decisions
 * @returns {{sha256: string, label: string | null}[]}
 */
export function requested(decisions) {
  return [...decisions]
    .filter(([, { kind }]) => kind !== "keep")
    .map(([sha256, { label }]) => ({ sha256, label }));
}
