// Confusion matrices.

/** @typedef {{labels: string[], counts: number[][]}} Confusion */

/**
 * Returns which classes are taken for which others, the most frequent first.
 * @param {Confusion} confusion
 * @param {number} most
 * @returns {{label: string, predicted: string, images: number}[]}
 */
export function mixedUp({ labels, counts }, most) {
  return counts
    .flatMap((row, i) =>
      row.map((images, j) => ({ label: labels[i] ?? "", predicted: labels[j] ?? "", images })),
    )
    .filter(({ label, predicted, images }) => images && label !== predicted)
    .sort((a, b) => b.images - a.images)
    .slice(0, most);
}
