// Notices: what is wrong or worth knowing, beside what it is about, with what to do.

import { Problem } from "../api/problem.js";
import { h } from "../lib/dom.js";
import { button } from "./button.js";
import { icon } from "./icon.js";

/**
 * Shows a notice.
 * @param {"error" | "warning" | "good" | "info"} kind
 * @param {string | null} title
 * @param {...import("../lib/dom.js").Child} rest
 */
export function notice(kind, title, ...rest) {
  const shape = kind === "good" ? "check" : kind === "info" ? "help" : "alert";
  return h(
    "div",
    { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" },
    icon(shape),
    h("div", { class: "notice-text" }, title ? h("strong", null, title) : null, ...rest),
  );
}

/**
 * Shows why a request failed, with a button to try again where that may help.
 * @param {unknown} error
 * @param {(() => void) | null} [retry]
 */
export function problemNotice(error, retry = null) {
  // A fault of the page: in the console too, where it is looked for.
  if (!(error instanceof Problem)) reportError(error);
  const problem = /** @type {import("../api/problem.js").Problem} */ (error);
  const fields = (problem.errors ?? []).map((each) =>
    h("li", null, `${each.pointer.replace(/^\//, "").replaceAll("/", " › ")}: ${each.detail}`),
  );
  return notice(
    "error",
    problem.title ?? "Something went wrong in this page",
    h("p", null, problem.detail ?? String(problem.message)),
    fields.length ? h("ul", null, ...fields) : null,
    retry ? button("Try again", { icon: "retry", onclick: retry }) : null,
  );
}

/**
 * Shows that there is nothing yet, and what to do about it.
 * @param {import("./icon.js").IconName} shape
 * @param {string} title
 * @param {string} text
 * @param {...import("../lib/dom.js").Child} actions
 */
export function empty(shape, title, text, ...actions) {
  return nothing(shape, h("h2", null, title), text, actions);
}

/**
 * The same where it is all that a screen shows.
 * @param {import("./icon.js").IconName} shape
 * @param {string} title
 * @param {string} text
 * @param {...import("../lib/dom.js").Child} actions
 */
export function emptyScreen(shape, title, text, ...actions) {
  return nothing(shape, h("h1", null, title), text, actions);
}

/**
 * @param {import("./icon.js").IconName} shape
 * @param {HTMLElement} heading
 * @param {string} text
 * @param {import("../lib/dom.js").Child[]} actions
 */
function nothing(shape, heading, text, actions) {
  return h(
    "div",
    { class: "empty" },
    h("div", { class: "empty-icon" }, icon(shape)),
    heading,
    h("p", null, text),
    actions.length ? h("div", { class: "row center" }, ...actions) : null,
  );
}
