// Where the versions of a tree are drawn: each in a row of its own, branches side by side.

/** @typedef {{number: number, parent: number | null}} Node */
/** @typedef {{number: number, row: number, lane: number}} Place */
/** @typedef {{from: Place, to: Place}} Edge from a version to its parent */

/**
 * Places versions in rows, newest first, and in lanes: a lane is free again below the parent.
 * @param {readonly Node[]} versions newest first
 * @returns {{places: Place[], edges: Edge[], lanes: number}}
 */
export function lanesOf(versions) {
  /** @type {(number | null)[]} the version that each lane leads to */
  const open = [];
  let lanes = 0;
  const places = versions.map(({ number, parent }, row) => {
    const leading = open.indexOf(number);
    const free = open.indexOf(null);
    const lane = leading >= 0 ? leading : free >= 0 ? free : open.length;
    open.forEach((to, index) => {
      if (to === number) open[index] = null;
    });
    open[lane] = parent;
    lanes = Math.max(lanes, lane + 1);
    return { number, row, lane };
  });
  const byNumber = new Map(places.map((place) => [place.number, place]));
  const edges = versions.flatMap(({ number, parent }) => {
    const [from, to] = [byNumber.get(number), parent === null ? null : byNumber.get(parent)];
    return from && to ? [{ from, to }] : [];
  });
  return { places, edges, lanes };
}
