// Who uses the page: the key, kept until the tab is closed, and what it may do.

import { signal } from "../lib/signals.js";

/** @typedef {"predict" | "train" | "admin" | "metrics"} Scope */

const STORED = "accrue.key";

/** The key that requests are sent with; null where none is known or needed. */
export const key = signal(sessionStorage.getItem(STORED));
/** How often somebody has signed in: the same key may be tried again. */
export const signedIn = signal(0);
/** Whether a request was refused for want of a valid key. */
export const refused = signal(false);
/** The scopes of the key; null until they are known. @type {import("../lib/signals.js").Signal<readonly Scope[] | null>} */
export const scopes = signal(/** @type {readonly Scope[] | null} */ (null));
/** Whether the service wants a key at all. */
export const keysOn = signal(false);

/**
 * Says whether the key may do what needs one of these scopes. Reads a signal.
 * @param {...Scope} needed
 */
export function may(...needed) {
  const given = scopes.value;
  if (given === null) return false;
  return (
    needed.length === 0 || given.includes("admin") || needed.some((one) => given.includes(one))
  );
}

/**
 * Uses a key from now on.
 * @param {string} given
 */
export function signIn(given) {
  sessionStorage.setItem(STORED, given);
  key.value = given;
  refused.value = false;
  signedIn.value = signedIn.peek() + 1;
}

/** Forgets the key. */
export function signOut() {
  sessionStorage.removeItem(STORED);
  key.value = null;
  scopes.value = null;
  refused.value = true;
}
