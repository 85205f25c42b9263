// The classifier itself: another name for it, and its end.

import { path, send } from "../../api/client.js";
import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { link } from "../../lib/router.js";
import { signal } from "../../lib/signals.js";
import { announce } from "../../ui/announce.js";
import { button } from "../../ui/button.js";
import { confirmed } from "../../ui/dialog.js";
import { field } from "../../ui/field.js";
import { problemNotice } from "../../ui/notice.js";
import { NAME, NAME_HELP } from "../../ui/names.js";

/** @param {string} name */
export function classifierSection(name) {
  if (!may("admin")) return null;
  const problem = signal(/** @type {unknown} */ (null));
  const other = h("input", {
    value: name,
    required: true,
    maxlength: 64,
    pattern: NAME,
    title: NAME_HELP,
  });

  /** @param {SubmitEvent} event */
  async function rename(event) {
    event.preventDefault();
    const to = other.value.trim();
    if (to === name) return;
    await tell(async () => {
      await send("PATCH", path`v1/classifiers/${name}`, { json: { name: to } });
      announce(`${name} is now ${to}.`);
      location.hash = link("/classifiers/:name/versions", { name: to });
    });
  }

  async function remove() {
    const sure = await confirmed(
      `Delete ${name}?`,
      "All its versions, their names and its jobs go, and no program gets an answer from it any more. It cannot be brought back.",
      `Delete ${name}`,
    );
    if (!sure) return;
    await tell(async () => {
      await send("DELETE", path`v1/classifiers/${name}`, { query: { confirm: name } });
      announce(`${name} is deleted.`);
      location.hash = "#/";
    });
  }

  /** @param {() => Promise<void>} action */
  async function tell(action) {
    problem.value = null;
    try {
      await action();
    } catch (error) {
      problem.value = error;
    }
  }

  return h(
    "section",
    { class: "card stack", "aria-labelledby": "classifier" },
    h("h2", { id: "classifier" }, "The classifier"),
    h(
      "form",
      { class: "row bottom", onsubmit: rename },
      h(
        "div",
        { class: "grow" },
        field("Its name", other, {
          help: "Programs ask for it by this name: the one before leads nowhere then.",
        }),
      ),
      button("Rename", { type: "submit", icon: "pencil" }),
    ),
    h("div", null, button(`Delete ${name}`, { icon: "trash", kind: "quiet", onclick: remove })),
    () => (problem.value ? problemNotice(problem.value) : null),
  );
}
