// Axes of charts.

/**
 * Returns a function that maps one range onto another in proportion.
 * @param {readonly [number, number]} from
 * @param {readonly [number, number]} to
 * @returns {(value: number) => number}
 */
export function linear([low, high], [start, end]) {
  const length = high - low || 1;
  return (value) => start + ((value - low) / length) * (end - start);
}

/**
 * Returns where an axis of shares begins, so that differences among high ones are seen: 0, or a
 * tenth that leaves room below the lowest.
 * @param {readonly number[]} shares from 0 to 1
 */
export function lowestShown(shares) {
  const lowest = Math.min(...shares, 1);
  return Math.min(0.9, Math.max(0, Math.floor(10 * lowest - 0.5) / 10));
}

/**
 * Returns round values from low to high, about as many as wanted.
 * @param {number} low
 * @param {number} high
 * @param {number} wanted
 * @returns {number[]}
 */
export function ticks(low, high, wanted) {
  const raw = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}
