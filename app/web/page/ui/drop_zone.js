// A place to drop files on, with buttons for who cannot drag.

import { h } from "../lib/dom.js";
import { signal } from "../lib/signals.js";
import { chosenFiles, droppedFiles } from "../media/files.js";
import { button } from "./button.js";
import { icon } from "./icon.js";

/** @typedef {import("../media/files.js").Entry} Entry */
/** @typedef {(entries: Entry[]) => unknown} Take */

/**
 * Makes a place that says what may be dropped, with buttons that do the same.
 * @param {string} title
 * @param {string} text
 * @param {object} options
 * @param {import("./icon.js").IconName} options.symbol
 * @param {boolean} options.large as the one thing on the screen
 * @param {readonly import("../lib/dom.js").Child[]} options.buttons
 */
export function dropZone(title, text, { symbol, large, buttons }) {
  return h(
    "div",
    { class: large ? "drop-zone large" : "drop-zone" },
    h("div", { class: "empty-icon" }, icon(symbol)),
    h("div", { class: "stack tight grow" }, h("h2", null, title), h("p", { class: "muted" }, text)),
    h("div", { class: "row" }, ...buttons),
  );
}

/**
 * Lets files be dropped on an element. Its attribute `data-over` shows that they would be.
 * @param {HTMLElement} element
 * @param {Take} take
 * @param {(error: unknown) => void} failed
 */
export function droppable(element, take, failed) {
  const over = signal(0);
  const mark = () => element.toggleAttribute("data-over", over.peek() > 0);
  element.addEventListener("dragenter", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    over.value = over.peek() + 1;
    mark();
  });
  element.addEventListener("dragover", (event) => event.preventDefault());
  element.addEventListener("dragleave", () => {
    over.value = Math.max(0, over.peek() - 1);
    mark();
  });
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    over.value = 0;
    mark();
    if (event.dataTransfer) droppedFiles(event.dataTransfer).then(take).catch(failed);
  });
}

/**
 * Makes a button that asks for files.
 * @param {string} label
 * @param {object} options
 * @param {Take} options.take
 * @param {(error: unknown) => void} options.failed
 * @param {boolean} [options.folder] ask for a folder
 * @param {boolean} [options.one] one image only
 * @param {import("./button.js").Look} [options.look]
 */
export function fileButton(label, { take, failed, folder = false, one = false, look = {} }) {
  const input = h("input", {
    type: "file",
    hidden: true,
    "aria-label": label,
    multiple: !one,
    webkitdirectory: folder,
    accept: folder ? null : one ? "image/*" : "image/*,.zip",
    onchange() {
      const files = [...(input.files ?? [])];
      input.value = ""; // so that the same files can be chosen again
      if (files.length) chosenFiles(files).then(take).catch(failed);
    },
  });
  return h("span", null, input, button(label, { ...look, onclick: () => input.click() }));
}
