// A grid of squares of which only those near the view exist: 100,000 scroll as smoothly as 100.

import { each, h } from "../lib/dom.js";
import { computed, onEnd, signal } from "../lib/signals.js";
import { near } from "../lib/virtual.js";

/**
 * Shows a long list as a grid that scrolls by itself.
 * @template T
 * @param {() => readonly T[]} list
 * @param {(item: T) => string} key
 * @param {(item: T) => Element} make
 * @param {{cell?: number, gap?: number, label: string}} options sizes in pixels
 */
export function virtualGrid(list, key, make, { cell = 112, gap = 8, label }) {
  const view = signal({ width: 0, height: 0, top: 0 });
  const grid = computed(() => near({ count: list().length, cell, gap, ...view.value }));
  const shown = computed(() =>
    list()
      .slice(grid.value.first, grid.value.last)
      .map((item, index) => ({ item, place: grid.value.first + index })),
  );
  const cells = h(
    "ul",
    {
      class: "virtual-cells",
      "aria-label": label,
      style: () => ({ height: `${grid.value.total}px` }),
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
 * @param {ReturnType<typeof near>} grid
 */
function placed(place, { columns, side, row }) {
  const [line, column] = [Math.floor(place / columns), place % columns];
  const gap = row - side;
  return {
    transform: `translate(${column * (side + gap)}px, ${line * row}px)`,
    width: `${side}px`,
    height: `${side}px`,
  };
}
