// Signing in with a key, where the service wants one.

import { key, signIn } from "./api/session.js";
import { h } from "./lib/dom.js";
import { signal } from "./lib/signals.js";
import { button } from "./ui/button.js";
import { field } from "./ui/field.js";

/** Shows the form that asks for a key. */
export function signInForm() {
  const wrong = signal(key.peek() ? "This key is unknown, revoked or expired." : "");
  const input = h("input", {
    type: "password",
    name: "key",
    autocomplete: "off",
    placeholder: "acr_…",
    spellcheck: "false",
    required: true,
  });
  /** @param {SubmitEvent} event */
  function submit(event) {
    event.preventDefault();
    const given = input.value.trim();
    if (given.startsWith("acr_")) signIn(given);
    else wrong.value = "A key begins with acr_.";
  }
  return h(
    "form",
    { class: "sign-in card stack", onsubmit: submit },
    h("h1", null, "Sign in"),
    h(
      "p",
      { class: "muted" },
      "This service lets in whoever has a key. It is kept in this tab only, until you close it.",
    ),
    // Browsers and screen readers expect to be told whose secret it is.
    h("input", { name: "username", autocomplete: "username", value: "key", hidden: true }),
    field("Key", input, {
      help: [
        "Whoever runs the service makes one with ",
        h("code", null, "accrue keys create"),
        ".",
      ],
      error: () => wrong.value || null,
    }),
    button("Sign in", { kind: "primary", type: "submit" }),
  );
}
