// A share as a bar, with its figure beside it.

import { h } from "../lib/dom.js";

/**
 * @param {number} share from 0 to 1
 * @param {string} text
 */
export function shareBar(share, text) {
  return h(
    "span",
    { class: "share" },
    h("span", { class: "bar", "aria-hidden": "true" }, fill(share)),
    h("span", { class: "number" }, text),
  );
}

/** @param {number} share */
function fill(share) {
  return h("span", { style: { width: `${100 * Math.min(1, Math.max(0, share))}%` } });
}
