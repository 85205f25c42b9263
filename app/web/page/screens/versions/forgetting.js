// Forgetting, task by task.

/**
 * @typedef {object} MatrixRow
 * @property {number} number
 * @property {number | null} accuracy
 * @property {number[]} tasks
 * @property {(number | null)[]} accuracies
 */

/**
 * Returns how much the last row is below the best one before it; null where there is none to compare.
 * @param {readonly MatrixRow[]} rows oldest first
 * @param {number} task
 */
export function forgotten(rows, task) {
  const of = rows.map((row) => row.accuracies[row.tasks.indexOf(task)] ?? null);
  const now = of.pop() ?? null;
  const earlier = of.filter((share) => share !== null);
  return now === null || !earlier.length ? null : Math.max(...earlier) - now;
}
