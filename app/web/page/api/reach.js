// Whether the service answers. While it does not, requests wait until it does again.

import { signal } from "../lib/signals.js";

const SECONDS = 2;

/** Whether the last request was answered at all. */
export const reachable = signal(true);

/** @type {Promise<void> | null} */
let coming = null;

/**
 * Resolves once the service answers again. Rejects when the signal fires.
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function back(signal) {
  reachable.value = false;
  coming ??= answered().finally(() => (coming = null));
  return new Promise((resolve, reject) => {
    void coming?.then(resolve);
    signal?.addEventListener("abort", () => reject(signal.reason));
  });
}

async function answered() {
  while (!reachable.peek()) {
    await new Promise((resolve) => setTimeout(resolve, 1000 * SECONDS));
    try {
      reachable.value = (await fetch(new URL("health/live", document.baseURI))).ok;
    } catch {
      // Not yet.
    }
  }
}
