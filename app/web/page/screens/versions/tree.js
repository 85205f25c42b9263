// The tree of versions, drawn beside their rows: lines lead down to what each was learnt from.

import { s } from "../../lib/dom.js";
import { lanesOf } from "./lanes.js";

/** @typedef {import("../../api/types.js").Version} Version */
/** @typedef {import("./lanes.js").Place} Place */

// The height of `.history-row`, and the distance of lanes, in pixels.
const [ROW, LANE, DOT] = [68, 22, 6];

/** @param {readonly Version[]} versions newest first */
export function tree(versions) {
  const { places, edges, lanes } = lanesOf(versions);
  const [width, height] = [LANE * lanes + 14, ROW * versions.length];
  return s(
    "svg",
    {
      class: "tree",
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": `The tree of ${versions.length} versions. Each row beside it names its parent.`,
    },
    ...edges.map(({ from, to }) => s("path", { class: "tree-edge", d: line(from, to) })),
    ...places.map((place, index) =>
      s("circle", {
        class: versions[index]?.aliases.includes("live") ? "tree-dot live" : "tree-dot",
        cx: x(place),
        cy: y(place),
        r: DOT,
      }),
    ),
  );
}

/**
 * @param {Place} from
 * @param {Place} to
 */
function line(from, to) {
  if (from.lane === to.lane) return `M${x(from)} ${y(from)}V${y(to)}`;
  const bend = y(to) - ROW / 2;
  return `M${x(from)} ${y(from)}V${bend}C${x(from)} ${y(to)} ${x(to)} ${bend} ${x(to)} ${y(to)}`;
}

/** @param {Place} place */
function x({ lane }) {
  return 14 + LANE * lane;
}

/** @param {Place} place */
function y({ row }) {
  return ROW * (row + 0.5);
}
