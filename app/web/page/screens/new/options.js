// Fields for the options of a method, made from the JSON schema that the service gives of them.

import { h } from "../../lib/dom.js";
import { field, select } from "../../ui/field.js";
import { kindOf, valueOf } from "./schema.js";

/** @typedef {import("./schema.js").Property} Property */
/** @typedef {{name: string, summary: string, options: {properties?: Record<string, Property>}}} MethodInfo */

/**
 * Makes fields for all options. What is left empty is left to the service.
 * @param {MethodInfo} method
 * @returns {[Element, () => Record<string, unknown>]} the fields, and the options that are filled in
 */
export function optionFields(method) {
  /** @type {Map<string, [Property, HTMLInputElement | HTMLSelectElement]>} */
  const controls = new Map();
  for (const [name, property] of Object.entries(method.options.properties ?? {})) {
    controls.set(name, [property, control(name, property)]);
  }
  const fields = [...controls].map(([name, [property, element]]) =>
    field(words(name), element, { help: property.description }),
  );
  return [
    h("div", { class: "options" }, fields),
    () => {
      /** @type {Record<string, unknown>} */
      const given = {};
      for (const [name, [property, element]] of controls) {
        if (element.value !== "") given[name] = valueOf(property, element.value);
      }
      return given;
    },
  ];
}

/**
 * @param {string} name
 * @param {Property} property
 */
function control(name, property) {
  const kind = kindOf(property);
  const usual = `${JSON.stringify(property.default ?? null)}`.replaceAll('"', "");
  if (kind.choices) {
    const choices = kind.choices.map((value) => ({ value, label: value }));
    return select([{ value: "", label: `As usual (${usual})` }, ...choices], { name });
  }
  const inputmode = kind.type === "integer" ? "numeric" : kind.type === "number" ? "decimal" : null;
  return h("input", { name, inputmode, placeholder: usual, autocomplete: "off" });
}

/** @param {string} name */
function words(name) {
  const text = name.replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
}
