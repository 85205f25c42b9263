// A grid of squares of which only those near the view exist: 100,000 scroll as smoothly as 100.

import { each, h } from "../lib/dom.js";
import { gridOf, rowsSeen } from "../lib/rows.js";
import { computed, onEnd, signal } from "../lib/signals.js";

/**
 * Shows a long list as a grid that scrolls by itself. Its items are made from a key each, so that
 * those that stay keep their element.
 * @template T
 * @param {() => readonly T[]} list
 * @param {(item: T) => string} key
 * @param {(item: T) => Element} make
 * @param {{cell?: number, gap?: number, label: string}} options sizes in pixels
 */
export function virtualGrid(list, key, make, { cell = 112, gap = 8, label }) {
  const view = signal({ width: 0, height: 0, top: 0 });
  const grid = computed(() => ({ ...gridOf(view.value.width, cell, gap, list().length), gap }));
  const shown = computed(() => {
    const { columns, rows, size } = grid.value;
    const [first, end] = rowsSeen(view.value.top, view.value.height, size + gap, rows);
    return list()
      .slice(first * columns, end * columns)
      .map((item, index) => ({ item, place: first * columns + index }));
  });
  const height = () => Math.max(0, grid.value.rows * (grid.value.size + gap) - gap);
  const cells = h(
    "ul",
    {
      class: "virtual-cells",
      "aria-label": label,
      style: () => ({ height: `${height()}px` }),
    },
    each(
      () => shown.value,
      ({ item }) => key(item),
      ({ item }) => {
        const at = () => shown.value.find((one) => key(one.item) === key(item))?.place ?? 0;
        return h("li", { style: () => placed(at(), grid.value) }, make(item));
      },
    ),
  );
  const scroller = h(
    "div",
    { class: "virtual", tabindex: 0, role: "group", "aria-label": label },
    cells,
  );
  const measure = () => {
    const { clientWidth: width, clientHeight: height, scrollTop: top } = scroller;
    view.value = { width, height, top };
  };
  scroller.addEventListener("scroll", measure, { passive: true });
  const observer = new ResizeObserver(measure);
  observer.observe(scroller);
  onEnd(() => observer.disconnect());
  return scroller;
}

/**
 * @param {number} place
 * @param {{columns: number, size: number, gap: number}} grid
 */
function placed(place, { columns, size, gap }) {
  const [line, column] = [Math.floor(place / columns), place % columns];
  return {
    transform: `translate(${column * (size + gap)}px, ${line * (size + gap)}px)`,
    width: `${size}px`,
    height: `${size}px`,
  };
}
