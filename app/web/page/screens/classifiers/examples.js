// Which images stand for a classifier.

/**
 * Chooses images of as many classes as there may be, first one of each.
 * @template {{label: string}} T
 * @param {readonly T[]} images
 * @param {number} most
 * @returns {T[]}
 */
export function onePerLabel(images, most) {
  /** @type {Map<string, T[]>} */
  const byLabel = new Map();
  for (const image of images) {
    const same = byLabel.get(image.label);
    if (same) same.push(image);
    else byLabel.set(image.label, [image]);
  }
  /** @type {T[]} */
  const chosen = [];
  for (let turn = 0; chosen.length < Math.min(most, images.length); turn += 1) {
    for (const same of byLabel.values()) {
      const image = same[turn];
      if (image && chosen.length < most) chosen.push(image);
    }
  }
  return chosen;
}
