// A grid of very many stored images: only those near the screen are in the page.

import { append, h } from "../lib/dom.js";
import { gridOf, rowsSeen } from "../lib/rows.js";
import { effect, onEnd, scoped, signal } from "../lib/signals.js";
import { measured } from "./measured.js";
import { storedImage } from "./stored_image.js";

/**
 * @typedef {object} Shown
 * @property {string} sha256
 * @property {string} title
 * @property {string} text
 * @property {boolean} [wrong]
 */

/** @typedef {{image: Shown, element: HTMLElement, finish: () => void}} Cell */

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
 * Shows images in a grid that scrolls with the page, or with the dialog around it.
 * @param {string} label
 * @param {readonly Shown[] | (() => readonly Shown[])} images
 * @param {Options} [options]
 */
export function gallery(label, images, { open, more, smallest = SMALLEST } = {}) {
  const list = typeof images === "function" ? images : () => images;
  return measured({ class: "gallery-frame" }, (width) => {
    const top = signal(0);
    const seen = signal(innerHeight);
    const place = h("ul", { class: "gallery", "aria-label": label });
    const follow = () => {
      const view = place.closest(".dialog")?.getBoundingClientRect();
      const [from, height] = view ? [view.top, view.height] : [0, innerHeight];
      top.value = from - place.getBoundingClientRect().top;
      seen.value = height;
    };
    // Scrolling does not bubble; it is seen on its way down.
    addEventListener("scroll", follow, { capture: true, passive: true });
    addEventListener("resize", follow);
    onEnd(() => {
      removeEventListener("scroll", follow, { capture: true });
      removeEventListener("resize", follow);
    });
    /** @type {Map<number, Cell>} */
    let present = new Map();
    effect(() => {
      const all = list();
      const { columns, rows, size } = gridOf(width, smallest, GAP, all.length);
      const height = size + TEXT;
      const [first, end] = rowsSeen(top.value, seen.value, height + GAP, rows);
      place.style.setProperty("height", `${Math.max(0, rows * (height + GAP) - GAP)}px`);
      const before = present;
      present = new Map();
      const last = Math.min(all.length, end * columns);
      for (let index = first * columns; index < last; index += 1) {
        const image = all[index];
        const old = before.get(index);
        if (!image) continue;
        if (old && same(old.image, image)) {
          before.delete(index);
          present.set(index, old);
        } else present.set(index, make(image, index, size));
      }
      before.forEach(remove);
      let position = 0;
      for (const [index, { element }] of present) {
        const [x, y] = [(index % columns) * (size + GAP), Math.floor(index / columns)];
        element.style.setProperty("transform", `translate(${x}px, ${y * (height + GAP)}px)`);
        element.style.setProperty("width", `${size}px`);
        element.setAttribute("aria-setsize", `${all.length}`);
        // In the order of the list, for the keyboard; what stays is not moved and keeps its focus.
        const there = place.children[position] ?? null;
        if (there !== element) place.insertBefore(element, there);
        position += 1;
      }
      if (more && last >= all.length) queueMicrotask(more);
    });
    onEnd(() => present.forEach(remove));

    /**
     * @param {Shown} image
     * @param {number} index
     * @param {number} size
     * @returns {Cell}
     */
    function make(image, index, size) {
      const [element, finish] = scoped(() => cell(image, index, size, open));
      return { image, element, finish };
    }
    requestAnimationFrame(follow);
    return place;
  });
}

/** @param {Cell} cell */
function remove({ element, finish }) {
  element.remove();
  finish();
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
 * @param {number} index
 * @param {number} size
 * @param {((index: number) => void) | undefined} open
 */
function cell(image, index, size, open) {
  const inside = [
    storedImage(image.sha256, { alt: "", width: size > 200 ? 384 : 192 }),
    h("span", { class: "gallery-title cut" }, image.title),
    h("span", { class: image.wrong ? "gallery-text wrong cut" : "gallery-text cut" }, image.text),
  ];
  const item = h("li", { class: "gallery-cell", "aria-posinset": index + 1 });
  append(
    item,
    open
      ? [
          h(
            "button",
            { type: "button", class: "gallery-button", onclick: () => open(index) },
            ...inside,
          ),
        ]
      : inside,
  );
  item.querySelector("img")?.style.setProperty("height", `${size}px`);
  return item;
}
