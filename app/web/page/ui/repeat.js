// Asking again while a screen is shown and its window is seen.

import { onEnd } from "../lib/signals.js";

/**
 * @param {() => Promise<void>} action
 * @param {number} seconds after its end until the next
 */
export function repeat(action, seconds) {
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  let ended = false;
  const next = () => {
    if (!ended) timer = setTimeout(run, 1000 * seconds);
  };
  const run = () => {
    if (document.hidden) next();
    else void action().finally(next);
  };
  next();
  onEnd(() => {
    ended = true;
    clearTimeout(timer);
  });
}
