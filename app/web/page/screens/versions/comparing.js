// Two versions compared by their classes and by the images that both have judged.

/** @typedef {import("../../api/types.js").Judgement} Judgement */
/** @typedef {import("../../api/types.js").GoesBy} GoesBy */
/** @typedef {{label: string, goes_by: Pick<GoesBy, "accuracy" | "images">}} Measured */
/** @typedef {{before: Judgement, after: Judgement}} Pair */

/**
 * @typedef {object} ClassPair `undefined` where a version does not know the class
 * @property {string} label
 * @property {Measured["goes_by"] | undefined} before
 * @property {Measured["goes_by"] | undefined} after
 * @property {number | null} difference
 */

/**
 * Compares classes, the largest losses first, those of one version last.
 * @param {readonly Measured[]} before
 * @param {readonly Measured[]} after
 * @returns {ClassPair[]}
 */
export function byClass(before, after) {
  const [old, young] = [figures(before), figures(after)];
  const labels = [...new Set([...old.keys(), ...young.keys()])];
  return labels
    .map((label) => {
      const [was, is] = [old.get(label), young.get(label)];
      return { label, before: was, after: is, difference: difference(was, is) };
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
function figures(classes) {
  return new Map(classes.map(({ label, goes_by }) => [label, goes_by]));
}

/**
 * @param {Measured["goes_by"] | undefined} before
 * @param {Measured["goes_by"] | undefined} after
 */
function difference(before, after) {
  const [was, is] = [before?.accuracy ?? null, after?.accuracy ?? null];
  return was === null || is === null ? null : is - was;
}

/** @param {Judgement} judgement */
function right({ label, predicted }) {
  return label === predicted;
}
