// Figures side by side, each with its name and what it is about.

import { h } from "../lib/dom.js";

/** @param {readonly (readonly [string, string, string])[]} figures name, value and remark of each */
export function tiles(figures) {
  return h(
    "dl",
    { class: "tiles" },
    ...figures.map(([name, value, about]) =>
      h(
        "div",
        { class: "tile" },
        h("dt", null, name),
        h("dd", { class: "tile-value number" }, value),
        h("dd", { class: "small muted" }, about),
      ),
    ),
  );
}
