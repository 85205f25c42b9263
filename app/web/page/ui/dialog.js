// Dialogs: the browser's own, which keeps the focus inside and closes with Escape.

import { h } from "../lib/dom.js";
import { scoped } from "../lib/signals.js";
import { button } from "./button.js";

/**
 * Opens a dialog. It is gone when it closes, and the focus is back where it was.
 * @param {string} title
 * @param {(close: () => void) => import("../lib/dom.js").Child} body
 * @param {{wide?: boolean}} [options]
 * @returns {() => void} closes it
 */
export function openDialog(title, body, { wide = false } = {}) {
  const before = document.activeElement;
  const close = () => dialog.close();
  const [dialog, end] = scoped(() =>
    h(
      "dialog",
      { class: wide ? "dialog wide" : "dialog", "aria-label": title },
      h(
        "header",
        { class: "dialog-head" },
        h("h2", null, title),
        button("Close", { icon: "close", kind: "quiet", alone: true, onclick: close }),
      ),
      h("div", { class: "dialog-body" }, body(close)),
    ),
  );
  dialog.addEventListener("close", () => {
    end();
    dialog.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) close(); // beside it
  });
  document.body.append(dialog);
  dialog.showModal();
  /** @type {HTMLElement | null} */ (dialog.querySelector("[data-focus]"))?.focus();
  return close;
}

/**
 * Asks before something is done that cannot be taken back.
 * @param {string} title
 * @param {string} text what will be so afterwards
 * @param {string} action the label of the button that does it
 * @returns {Promise<boolean>}
 */
export function confirmed(title, text, action) {
  return new Promise((resolve) => {
    let answer = false;
    openDialog(title, (close) => [
      h("p", null, text),
      h(
        "div",
        { class: "row end" },
        button("Keep things as they are", { onclick: close, "data-focus": true }),
        button(action, {
          kind: "danger",
          onclick() {
            answer = true;
            close();
          },
        }),
      ),
    ]);
    document.body.lastElementChild?.addEventListener("close", () => resolve(answer));
  });
}
