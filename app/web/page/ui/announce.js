// What is said to screen readers, and shown for some seconds to everybody else.

import { h } from "../lib/dom.js";

const SECONDS = 6;
const MOST = 2;
const region = h("div", { class: "toasts", role: "status", "aria-live": "polite" });

/** The place where announcements appear, put into the page once. */
export const announcements = region;

/**
 * Says what has happened.
 * @param {string} text
 */
export function announce(text) {
  const toast = h("p", { class: "toast" }, text);
  region.append(toast);
  // The newest ones say enough.
  while (region.childElementCount > MOST) region.firstElementChild?.remove();
  setTimeout(() => toast.remove(), 1000 * SECONDS);
}
