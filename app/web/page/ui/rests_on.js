// What an accuracy rests on, in words.

import { count } from "../lib/format.js";

/**
 * Returns the images that an accuracy rests on: `25 held-out images`.
 * @param {import("../api/types.js").GoesBy} goesBy
 */
export function restsOn({ images, used }) {
  return used === "held_out"
    ? count(images, "held-out image")
    : `${count(images, "learnt image")}, each judged as if it had not been learnt`;
}
