// A grid of which only what is near the screen exists: 100,000 scroll as smoothly as 100.

import { h } from "../lib/dom.js";
import { gridOf, rowsSeen } from "../lib/rows.js";
import { effect, onEnd, scoped, signal } from "../lib/signals.js";
import { measured } from "./measured.js";

/**
 * @template T
 * @typedef {object} Options
 * @property {string} label
 * @property {number} smallest width of a cell in pixels
 * @property {number} gap between cells
 * @property {number} [text] height below the square of a cell
 * @property {(item: T, other: T) => boolean} same whether a cell may stay
 * @property {(item: T, index: number, size: number) => Element} make what is in a cell
 * @property {() => void} [more] called when the end of the list is near
 */

/**
 * @template T
 * @typedef {{item: T, element: HTMLElement, finish: () => void}} Cell
 */

/**
 * Shows a long list as a grid. It scrolls with the page, or with the dialog or the frame around it.
 * @template T
 * @param {() => readonly T[]} list
 * @param {Options<T>} options
 */
export function virtualGrid(list, { label, smallest, gap, text = 0, same, make, more }) {
  return measured({ class: "virtual-frame" }, (width) => {
    const top = signal(0);
    const seen = signal(innerHeight);
    const place = h("ul", { class: "virtual-cells", "aria-label": label });
    const follow = () => {
      const view = place.closest(".virtual, .dialog")?.getBoundingClientRect();
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
    /** @type {Map<number, Cell<T>>} */
    let present = new Map();
    effect(() => {
      const all = list();
      const { columns, rows, size } = gridOf(width, smallest, gap, all.length);
      const height = size + text;
      const [first, end] = rowsSeen(top.value, seen.value, height + gap, rows);
      place.style.setProperty("height", `${Math.max(0, rows * (height + gap) - gap)}px`);
      const before = present;
      present = new Map();
      const last = Math.min(all.length, end * columns);
      for (let index = first * columns; index < last; index += 1) {
        const item = /** @type {T} */ (all[index]);
        const old = before.get(index);
        if (old && same(old.item, item)) {
          before.delete(index);
          present.set(index, old);
        } else present.set(index, cell(item, index, size));
      }
      before.forEach(remove);
      let position = 0;
      for (const [index, { element }] of present) {
        const [x, y] = [(index % columns) * (size + gap), Math.floor(index / columns)];
        element.style.setProperty("transform", `translate(${x}px, ${y * (height + gap)}px)`);
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
     * @param {T} item
     * @param {number} index
     * @param {number} size
     * @returns {Cell<T>}
     */
    function cell(item, index, size) {
      const [element, finish] = scoped(() =>
        h("li", { "aria-posinset": index + 1 }, make(item, index, size)),
      );
      return { item, element, finish };
    }
    requestAnimationFrame(follow);
    return place;
  });
}

/** @param {{element: HTMLElement, finish: () => void}} cell */
function remove({ element, finish }) {
  element.remove();
  finish();
}
