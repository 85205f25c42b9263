// A button that puts a text on the clipboard.

import { announce } from "./announce.js";
import { button } from "./button.js";

/** @param {() => string} text */
export function copyButton(text) {
  return button("Copy", { icon: "copy", onclick: () => void copy(text()) });
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied.");
  } catch {
    announce("The browser does not let the page copy: choose the text and copy it yourself.");
  }
}
