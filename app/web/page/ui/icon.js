// Icons: strokes on a grid of 24. They are decoration; what they stand beside has a name.

import { s } from "../lib/dom.js";

const SHAPES = {
  add: ["M12 5v14M5 12h14"],
  alert: ["M12 4 2.8 20h18.4L12 4Z", "M12 10v4.5M12 17.4v.1"],
  back: ["M14.5 5.5 8 12l6.5 6.5"],
  camera: [
    "M4 8h3.2l1.6-2.5h6.4L16.8 8H20v11H4V8Z",
    "M15.5 13a3.5 3.5 0 1 1-7 0 3.5 3.5 0 0 1 7 0Z",
  ],
  check: ["M5 12.5 10 17.5 19.5 7"],
  close: ["M6 6l12 12M18 6 6 18"],
  code: ["M8.5 7 3.5 12l5 5M15.5 7l5 5-5 5"],
  copy: ["M9 9h11v11H9V9Z", "M15 9V4H4v11h5"],
  eye: [
    "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Z",
    "M14.8 12a2.8 2.8 0 1 1-5.6 0 2.8 2.8 0 0 1 5.6 0Z",
  ],
  file: ["M6 3h8l4 4v14H6V3Z", "M14 3v4h4"],
  folder: ["M3 6h6l2 2.5h10V19H3V6Z"],
  gauge: ["M4 18a9 9 0 1 1 16 0", "M12 14l4-5"],
  help: [
    "M9 9.2a3 3 0 1 1 4.2 2.8c-.8.4-1.2 1-1.2 2M12 17.4v.1",
    "M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0Z",
  ],
  image: ["M4 5h16v14H4V5Z", "M4 16l5-4.5 4 3.5 3-2.5 4 3.5", "M16.5 9.2v.1"],
  key: ["M13 11 20.5 3.5M17 7l2.5 2.5", "M14 14.5a4.5 4.5 0 1 1-9 0 4.5 4.5 0 0 1 9 0Z"],
  layers: ["M12 3.5 21 8.5 12 13.5 3 8.5 12 3.5Z", "M4 13l8 4.5 8-4.5"],
  logout: ["M10 4H4v16h6M9 12h11M16.5 8l4 4-4 4"],
  merge: ["M6 4v4c0 4 6 4 6 8v4M18 4v4c0 4-6 4-6 8"],
  minus: ["M5 12h14"],
  moon: ["M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10Z"],
  more: ["M5 12v.1M12 12v.1M19 12v.1"],
  move: ["M4 12h15M13.5 6.5 19 12l-5.5 5.5"],
  pause: ["M8.5 5v14M15.5 5v14"],
  pencil: ["M4 20l1-4.5L16.5 4 20 7.5 8.5 19 4 20Z"],
  play: ["M7.5 5v14l11-7-11-7Z"],
  retry: ["M19.5 12a7.5 7.5 0 1 1-2.3-5.4", "M19.5 3.5v4h-4"],
  settings: [
    "M4 7h9M19 7h1M4 17h1M11 17h9",
    "M19 7a3 3 0 1 1-6 0 3 3 0 0 1 6 0ZM11 17a3 3 0 1 1-6 0 3 3 0 0 1 6 0Z",
  ],
  spark: ["M12 3.5 14 10l6.5 2-6.5 2-2 6.5L10 14l-6.5-2L10 10l2-6.5Z"],
  split: ["M12 20v-5c0-4-6-3-6-11M12 15c0-4 6-3 6-11"],
  stop: ["M6.5 6.5h11v11h-11v-11Z"],
  sun: [
    "M16 12a4 4 0 1 1-8 0 4 4 0 0 1 8 0Z",
    "M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4",
  ],
  target: [
    "M20 12a8 8 0 1 1-16 0 8 8 0 0 1 16 0Z",
    "M15.5 12a3.5 3.5 0 1 1-7 0 3.5 3.5 0 0 1 7 0Z",
  ],
  trash: ["M4.5 7h15M9.5 7V4h5v3M6.5 7l1 13.5h9l1-13.5"],
  tree: ["M6 4v16M6 8h6c4 0 6 1.5 6 5", "M6 20v.1M18 15v.1"],
  upload: ["M12 16V5M7 9.5 12 4.5l5 5M4 19.5h16"],
};

/** @typedef {keyof typeof SHAPES} IconName */

/**
 * Draws an icon.
 * @param {IconName} name
 */
export function icon(name) {
  const strokes = SHAPES[name].map((d) => s("path", { d }));
  return s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, ...strokes);
}
