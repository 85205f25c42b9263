// The request as code.

import { url } from "../../api/client.js";
import { keysOn } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { signal } from "../../lib/signals.js";
import { announce } from "../../ui/announce.js";
import { button } from "../../ui/button.js";
import { snippets } from "./snippets.js";

/** @param {string} classifier */
export function codePanel(classifier) {
  const all = snippets({ service: url("."), classifier, key: keysOn.peek() });
  const shown = signal(0);
  const code = () => all[shown.value]?.code ?? "";
  return h(
    "section",
    { class: "card stack", "aria-label": "The same request as code" },
    h(
      "div",
      { class: "row apart" },
      h("h2", null, "Ask from a program"),
      h(
        "div",
        { class: "row" },
        h(
          "div",
          { class: "choices", role: "group", "aria-label": "Language" },
          all.map(({ language }, index) =>
            h(
              "button",
              {
                type: "button",
                "aria-pressed": () => String(shown.value === index),
                onclick: () => (shown.value = index),
              },
              language,
            ),
          ),
        ),
        button("Copy", { icon: "copy", onclick: () => void copy(code()) }),
      ),
    ),
    h("pre", { class: "code", tabindex: 0, role: "region", "aria-label": "Code" }, code),
  );
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
