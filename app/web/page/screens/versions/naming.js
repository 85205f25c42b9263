// Giving a version a name of its own, such as canary, which requests may ask for.

import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { signal } from "../../lib/signals.js";
import { announce } from "../../ui/announce.js";
import { button } from "../../ui/button.js";
import { field } from "../../ui/field.js";
import { ALIAS, ALIAS_HELP } from "../../ui/names.js";
import { problemNotice } from "../../ui/notice.js";
import { move } from "./aliases.js";

/** @typedef {import("../../api/types.js").Version} Version */

/**
 * @param {string} name
 * @param {Version} version
 * @param {readonly Version[]} versions
 * @param {() => Promise<void>} reload
 */
export function namingForm(name, version, versions, reload) {
  if (!may("admin")) return null;
  const problem = signal(/** @type {unknown} */ (null));
  const alias = h("input", {
    name: "alias",
    placeholder: "canary",
    maxlength: 64,
    required: true,
    pattern: ALIAS,
    title: ALIAS_HELP,
  });

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    problem.value = null;
    const given = alias.value.trim();
    const holder = versions.find(({ aliases }) => aliases.includes(given));
    try {
      await move(name, given, version.number, holder?.number ?? null);
      announce(`${given} names version ${version.number}.`);
      await reload();
    } catch (error) {
      problem.value = error;
    }
  }

  return h(
    "form",
    { class: "row bottom", onsubmit: submit },
    h("div", { class: "grow" }, field("A name for programs to ask for", alias)),
    button("Set the name", { type: "submit", icon: "pencil" }),
    () => (problem.value ? problemNotice(problem.value) : null),
  );
}
