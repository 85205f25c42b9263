// The request as code.

import { url } from "../../api/client.js";
import { keysOn } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { signal } from "../../lib/signals.js";
import { copyButton } from "../../ui/copy_button.js";
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
        copyButton(code),
      ),
    ),
    h("pre", { class: "code", tabindex: 0, role: "region", "aria-label": "Code" }, code),
  );
}
