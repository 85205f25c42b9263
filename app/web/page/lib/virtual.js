// Which cells of a long grid are near what is seen: only they are made.

/**
 * @typedef {object} View
 * @property {number} count cells in all
 * @property {number} width of the grid, in pixels
 * @property {number} cell smallest width of a cell
 * @property {number} gap between cells
 * @property {number} top how far the grid is scrolled
 * @property {number} height of what is seen
 */

/**
 * Returns how the grid is divided, and the cells from `first` up to `last`, which are near.
 * @param {View} view
 */
export function near({ count, width, cell, gap, top, height }) {
  const columns = Math.max(1, Math.floor((width + gap) / (cell + gap)));
  const side = (width - gap * (columns - 1)) / columns;
  const row = side + gap;
  const rows = Math.ceil(count / columns);
  // A screen more on both sides, so that scrolling meets pictures and not gaps.
  const begin = Math.max(0, Math.floor((top - height) / row));
  const end = Math.min(rows, Math.ceil((top + 2 * height) / row));
  return {
    columns,
    side,
    row,
    total: Math.max(0, rows * row - gap),
    first: Math.min(count, begin * columns),
    last: Math.min(count, Math.max(begin, end) * columns),
  };
}
