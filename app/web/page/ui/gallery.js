// A grid of very many stored images, each with a title and a text.

import { h } from "../lib/dom.js";
import { storedImage } from "./stored_image.js";
import { virtualGrid } from "./virtual_grid.js";

/**
 * @typedef {object} Shown
 * @property {string} sha256
 * @property {string} title
 * @property {string} text
 * @property {boolean} [wrong]
 */

/**
 * @typedef {object} Options
 * @property {(index: number) => void} [open] called when an image is chosen
 * @property {() => void} [more] called when the end of the list is near
 * @property {number} [smallest] width of an image in pixels
 */

const GAP = 12;
const TEXT = 46;
const SMALLEST = 132;

/**
 * @param {string} label
 * @param {readonly Shown[] | (() => readonly Shown[])} images
 * @param {Options} [options]
 */
export function gallery(label, images, { open, more, smallest = SMALLEST } = {}) {
  return virtualGrid(typeof images === "function" ? images : () => images, {
    label,
    smallest,
    gap: GAP,
    text: TEXT,
    same,
    more,
    make: (image, index, size) => cell(image, size, open && (() => open(index))),
  });
}

/**
 * @param {Shown} one
 * @param {Shown} other
 */
function same(one, other) {
  return (
    one.sha256 === other.sha256 &&
    one.title === other.title &&
    one.text === other.text &&
    one.wrong === other.wrong
  );
}

/**
 * @param {Shown} image
 * @param {number} size
 * @param {(() => void) | undefined} open
 */
function cell(image, size, open) {
  const picture = storedImage(image.sha256, { alt: "", width: size > 200 ? 384 : 192 });
  picture.style.setProperty("height", `${size}px`);
  const inside = [
    picture,
    h("span", { class: "gallery-title cut" }, image.title),
    h("span", { class: image.wrong ? "gallery-text wrong cut" : "gallery-text cut" }, image.text),
  ];
  return open
    ? h("button", { type: "button", class: "gallery-cell", onclick: open }, ...inside)
    : h("div", { class: "gallery-cell" }, ...inside);
}
