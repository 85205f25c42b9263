// A new key: what it may do, and for how long. It is shown once.

import { post } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { signal } from "../../lib/signals.js";
import { button } from "../../ui/button.js";
import { copyButton } from "../../ui/copy_button.js";
import { openDialog } from "../../ui/dialog.js";
import { field } from "../../ui/field.js";
import { notice, problemNotice } from "../../ui/notice.js";

const SCOPES = [
  { scope: "predict", what: "ask what is on images" },
  { scope: "train", what: "teach, and see everything of the workspace" },
  { scope: "metrics", what: "read the figures of the whole service" },
  { scope: "admin", what: "do everything: choose versions, delete, make keys" },
];

/** @param {() => Promise<void>} reload */
export function newKeyDialog(reload) {
  openDialog("New key", (close) => {
    const made = signal(/** @type {{name: string, key: string} | null} */ (null));
    const form = keyForm((key) => {
      made.value = key;
      void reload();
    });
    return h("div", null, () => (made.value ? shownOnce(made.value, close) : form));
  });
}

/** @param {(made: {name: string, key: string}) => void} done */
function keyForm(done) {
  const problem = signal(/** @type {unknown} */ (null));
  const busy = signal(false);
  const name = h("input", {
    required: true,
    maxlength: 100,
    "data-focus": true,
    autocomplete: "off",
  });
  const days = h("input", { inputmode: "numeric", pattern: "[0-9]*", autocomplete: "off" });
  const boxes = SCOPES.map(({ scope }) =>
    h("input", { type: "checkbox", name: scope, checked: scope === "predict" }),
  );

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    busy.value = true;
    problem.value = null;
    try {
      const scopes = boxes.filter(({ checked }) => checked).map((box) => box.name);
      const body = { name: name.value.trim(), scopes, expires_days: Number(days.value) || null };
      done(await post("v1/keys", body));
    } catch (error) {
      problem.value = error;
      busy.value = false;
    }
  }

  return h(
    "form",
    { class: "stack", onsubmit: submit },
    field("Name", name, { help: "Of the program or the person that gets it." }),
    h(
      "fieldset",
      null,
      h("legend", null, "It may"),
      SCOPES.map(({ scope, what }, index) =>
        h(
          "label",
          { class: "check" },
          boxes[index],
          h("span", null, h("b", null, scope), `: ${what}`),
        ),
      ),
    ),
    field("Works for so many days", days, {
      help: "Empty: as long as your key. It never outlasts yours, and has no higher limits.",
    }),
    () => (problem.value ? problemNotice(problem.value) : null),
    h(
      "div",
      { class: "row end" },
      button("Make the key", { kind: "primary", type: "submit", disabled: () => busy.value }),
    ),
  );
}

/**
 * @param {{name: string, key: string}} made
 * @param {() => void} close
 */
function shownOnce({ name, key }, close) {
  return h(
    "div",
    { class: "stack" },
    notice("warning", "Copy it now", "It is shown this once: the service keeps no copy of it."),
    h("pre", { class: "code", tabindex: 0, role: "region", "aria-label": `The key ${name}` }, key),
    h(
      "div",
      { class: "row end" },
      copyButton(() => key),
      button("I have it", { kind: "primary", onclick: close }),
    ),
  );
}
