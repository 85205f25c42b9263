// Buttons and links that look like them.

import { h } from "../lib/dom.js";
import { icon } from "./icon.js";

/**
 * @typedef {object} Look
 * @property {import("./icon.js").IconName} [icon]
 * @property {"primary" | "quiet" | "danger"} [kind]
 * @property {boolean} [alone] only the icon is seen; the label is read
 */

/**
 * Makes a button.
 * @param {string} label
 * @param {Look & import("../lib/dom.js").Props} options its look; the rest are attributes
 */
export function button(label, options = {}) {
  const { icon: shape, kind, alone, ...props } = options;
  return h(
    "button",
    { type: "button", ...look(label, options), ...props },
    ...inside(label, options),
  );
}

/**
 * Makes a link that looks like a button.
 * @param {string} label
 * @param {string} href
 * @param {Look & import("../lib/dom.js").Props} options
 */
export function linkButton(label, href, options = {}) {
  const { icon: shape, kind, alone, ...props } = options;
  return h("a", { href, ...look(label, options), ...props }, ...inside(label, options));
}

/**
 * @param {string} label
 * @param {Look} options
 */
function look(label, { kind, alone }) {
  return {
    class: `button ${kind ?? ""} ${alone ? "alone" : ""}`,
    ...(alone ? { "aria-label": label, title: label } : {}),
  };
}

/**
 * @param {string} label
 * @param {Look} options
 */
function inside(label, { icon: shape, alone }) {
  return [shape ? icon(shape) : null, alone ? null : h("span", null, label)];
}
