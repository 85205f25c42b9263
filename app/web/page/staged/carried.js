// Images that one screen leaves for the next: those that advice was given about are then taught.

/** @typedef {import("../media/files.js").Entry} Entry */

/** @type {Entry[]} */
let waiting = [];

/** @param {Entry[]} entries */
export function carry(entries) {
  waiting = entries;
}

/** Takes what was left. @returns {Entry[]} */
export function carried() {
  const taken = waiting;
  waiting = [];
  return taken;
}
