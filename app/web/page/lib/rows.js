// Which rows of a long grid are on the screen.

/**
 * @typedef {object} Grid
 * @property {number} columns
 * @property {number} rows
 * @property {number} size width of a cell
 */

/**
 * Divides a width into cells of at least a size.
 * @param {number} width
 * @param {number} smallest
 * @param {number} gap
 * @param {number} items
 * @returns {Grid}
 */
export function gridOf(width, smallest, gap, items) {
  const columns = Math.max(1, Math.floor((width + gap) / (smallest + gap)));
  const size = Math.floor((width - gap * (columns - 1)) / columns);
  return { columns, rows: Math.ceil(items / columns), size };
}

/**
 * Returns the first row that is seen and the one after the last, with some before and after.
 * @param {number} above height of what is scrolled out above; negative where the grid begins below
 * @param {number} seen height of what is seen
 * @param {number} row height of a row with its gap
 * @param {number} rows
 * @param {number} [spare]
 * @returns {[number, number]}
 */
export function rowsSeen(above, seen, row, rows, spare = 3) {
  const first = Math.floor(above / row) - spare;
  const end = Math.ceil((above + seen) / row) + spare;
  return [Math.min(rows, Math.max(0, first)), Math.min(rows, Math.max(0, end))];
}
