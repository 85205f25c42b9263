// What the JSON schema of an option says of its values.

/**
 * @typedef {object} Property
 * @property {string} [type]
 * @property {readonly unknown[]} [enum]
 * @property {unknown} [const]
 * @property {readonly Property[]} [anyOf]
 * @property {unknown} [default]
 * @property {string} [description]
 */

/**
 * Returns the kind of a value, and the choices where there are few.
 * @param {Property} property
 * @returns {{type: string, choices: string[] | null}}
 */
export function kindOf(property) {
  const kinds = property.anyOf ?? [property];
  const choices = kinds.flatMap(
    (kind) => kind.enum ?? (kind.const === undefined ? [] : [kind.const]),
  );
  const type = kinds.find((kind) => kind.type !== "null")?.type ?? "string";
  if (type === "boolean") choices.push("true", "false");
  return { type, choices: choices.length ? choices.map(String) : null };
}

/**
 * Returns the value that a text means, or the text itself where the service must say what is wrong.
 * @param {Property} property
 * @param {string} text not empty
 * @returns {unknown}
 */
export function valueOf(property, text) {
  const { type } = kindOf(property);
  if (text === "null") return null;
  if (type === "boolean") return text === "true";
  if (type === "string") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
