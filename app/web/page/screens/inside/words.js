// What is said of an image and its label.

import { percent } from "../../lib/format.js";

/** @typedef {import("../../api/types.js").Judgement} Judgement */

/**
 * Returns what a version makes of an image: `97 %` where it agrees, else `lobster, 97 %`.
 * @param {Judgement} image
 */
export function verdict({ label, predicted, score }) {
  const sure = percent(score, 0);
  return label === predicted ? sure : `${predicted}, ${sure}`;
}

/**
 * Returns what becomes of an image's label, or what the version makes of it where that is not decided.
 * @param {Judgement} image
 * @param {import("./corrections.js").Decision | undefined} decision
 */
export function outcome(image, decision) {
  if (!decision) return verdict(image);
  if (decision.kind === "correct") return `becomes ${decision.label}`;
  return decision.kind === "keep" ? "stays as it is" : "is left out";
}
