// From values to places in a chart.

/**
 * Returns a function that maps a range of values to a range of places.
 * @param {readonly [number, number]} values
 * @param {readonly [number, number]} places
 * @returns {(value: number) => number}
 */
export function linear([low, high], [from, to]) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

/**
 * Returns round values that divide a range into about so many parts, within it.
 * @param {number} low
 * @param {number} high
 * @param {number} [parts]
 */
export function ticks(low, high, parts = 4) {
  if (!(high > low)) return [low];
  const rough = (high - low) / parts;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10);
  /** @type {number[]} */
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step * 1e-9; at += 1) {
    found.push(Number((at * step).toPrecision(12)));
  }
  return found;
}
