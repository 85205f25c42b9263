// Two versions compared by their classes and by the images held out of both.

/** @typedef {import("../../api/types.js").Judgement} Judgement */
/** @typedef {{label: string, accuracy: number | null}} Measured */
/** @typedef {{before: Judgement, after: Judgement}} Pair */

/**
 * @typedef {object} ClassPair `undefined` where a version does not know the class
 * @property {string} label
 * @property {number | null | undefined} before
 * @property {number | null | undefined} after
 * @property {number | null} difference
 */

/**
 * Compares classes, the largest losses first, those of one version last.
 * @param {readonly Measured[]} before
 * @param {readonly Measured[]} after
 * @returns {ClassPair[]}
 */
export function byClass(before, after) {
  const [old, young] = [accuracies(before), accuracies(after)];
  const labels = [...new Set([...old.keys(), ...young.keys()])];
  return labels
    .map((label) => {
      const [was, is] = [old.get(label), young.get(label)];
      const difference = typeof was === "number" && typeof is === "number" ? is - was : null;
      return { label, before: was, after: is, difference };
    })
    .sort((a, b) => (a.difference ?? 2) - (b.difference ?? 2));
}

/**
 * Finds the images that one version has right and the other wrong, each by its label there.
 * @param {readonly Judgement[]} before
 * @param {readonly Judgement[]} after
 * @returns {{broken: Pair[], mended: Pair[], both: number}} `both`: how many images both have
 */
export function byImage(before, after) {
  const earlier = new Map(before.map((judgement) => [judgement.sha256, judgement]));
  /** @type {{broken: Pair[], mended: Pair[], both: number}} */
  const found = { broken: [], mended: [], both: 0 };
  for (const judgement of after) {
    const same = earlier.get(judgement.sha256);
    if (!same) continue;
    found.both += 1;
    const [was, is] = [right(same), right(judgement)];
    if (was && !is) found.broken.push({ before: same, after: judgement });
    if (!was && is) found.mended.push({ before: same, after: judgement });
  }
  return found;
}

/** @param {readonly Measured[]} classes */
function accuracies(classes) {
  return new Map(classes.map(({ label, accuracy }) => [label, accuracy]));
}

/** @param {Judgement} judgement */
function right({ label, predicted }) {
  return label === predicted;
}
