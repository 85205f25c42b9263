// What has to know how wide it may be: charts, and grids of very many images.

import { h } from "../lib/dom.js";
import { onEnd, signal } from "../lib/signals.js";

/**
 * Shows what a function makes for a width, again when the width changes.
 * @param {import("../lib/dom.js").Props} props
 * @param {(width: number) => import("../lib/dom.js").Child} make
 */
export function measured(props, make) {
  const width = signal(0);
  const element = h("div", props, () => (width.value ? [make(width.value)] : null));
  const observer = new ResizeObserver(([entry]) => {
    // Where it has no width it is hidden, and stays as it is.
    if (entry?.contentRect.width) width.value = Math.round(entry.contentRect.width);
  });
  observer.observe(element);
  onEnd(() => observer.disconnect());
  return element;
}
