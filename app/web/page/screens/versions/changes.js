// What is different when one version is served in place of another.

/** @typedef {import("../../api/types.js").Version} Version */

/**
 * @typedef {object} Changes
 * @property {string[]} gained classes
 * @property {string[]} lost classes
 * @property {number | null} accuracy the difference; null where one of them is not known
 */

/**
 * @param {Version} from
 * @param {Version} to
 * @returns {Changes}
 */
export function changesBetween(from, to) {
  const [before, after] = [labels(from), labels(to)];
  const [old, young] = [accuracyOf(from), accuracyOf(to)];
  return {
    gained: [...after].filter((label) => !before.has(label)),
    lost: [...before].filter((label) => !after.has(label)),
    accuracy: old === null || young === null ? null : young - old,
  };
}

/**
 * Returns the accuracy that a version goes by.
 * @param {Pick<Version, "metrics">} version
 */
export function accuracyOf({ metrics }) {
  return metrics.goes_by.accuracy;
}

/**
 * Returns what a version has forgotten; null where that rests on too few held-out images.
 * @param {Pick<Version, "metrics">} version
 */
export function forgettingOf({ metrics }) {
  return metrics.goes_by.used === "held_out" ? metrics.forgetting : null;
}

/**
 * Returns a difference of shares in points: `+2.5 points`, `no change`.
 * @param {number | null} difference
 */
export function points(difference) {
  if (difference === null) return "–";
  const text = (100 * Math.abs(difference)).toFixed(1).replace(/\.0$/, "");
  if (text === "0") return "no change";
  return `${difference > 0 ? "+" : "−"}${text} points`;
}

/**
 * Names some of many: `crab, lobster and 3 more`.
 * @param {readonly string[]} names
 * @param {number} [most]
 */
export function some(names, most = 4) {
  if (names.length <= most) {
    const last = names.at(-1) ?? "";
    return names.length < 2 ? last : `${names.slice(0, -1).join(", ")} and ${last}`;
  }
  return `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}

/** @param {Version} version */
function labels(version) {
  return new Set(version.classes.map(({ label }) => label));
}
