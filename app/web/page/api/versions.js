// What versions know.

import { all } from "./client.js";

/**
 * Asks for all classes of a version. Rejects with a Problem.
 * @param {string} version its address
 * @param {AbortSignal} [signal]
 * @returns {Promise<import("./types.js").MeasuredClass[]>}
 */
export function classesOf(version, signal) {
  return all(`${version}/classes`, { query: { limit: 1000 }, signal });
}
