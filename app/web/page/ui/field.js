// Form fields: a label, the control, and help or what is wrong, which the control refers to.

import { h } from "../lib/dom.js";

let made = 0;

/**
 * Puts a label, help and an error around a control.
 * @param {string} label
 * @param {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} control
 * @param {{help?: import("../lib/dom.js").Child, error?: () => string | null}} [options]
 */
export function field(label, control, { help, error } = {}) {
  made += 1;
  control.id ||= `field-${made}`;
  const described = [help ? `${control.id}-help` : "", error ? `${control.id}-error` : ""];
  control.setAttribute("aria-describedby", described.join(" ").trim());
  return h(
    "div",
    { class: "field" },
    h("label", { for: control.id }, label),
    control,
    help ? h("div", { class: "help", id: `${control.id}-help` }, help) : null,
    error
      ? h("div", { class: "field-error", id: `${control.id}-error`, role: "alert" }, () => error())
      : null,
  );
}

/**
 * Makes a choice among few.
 * @param {readonly {value: string, label: string}[]} choices
 * @param {import("../lib/dom.js").Props} props
 */
export function select(choices, props) {
  return h(
    "select",
    props,
    choices.map(({ value, label }) => h("option", { value }, label)),
  );
}
