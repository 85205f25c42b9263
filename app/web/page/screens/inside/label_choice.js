// Another class that the version knows.

import { h } from "../../lib/dom.js";
import { select } from "../../ui/field.js";

/**
 * @param {import("./inside.js").Inside} inside
 * @param {(label: string) => void} choose
 */
export function labelChoice({ version }, choose) {
  const labels = version.classes.map(({ label }) => label).sort((a, b) => a.localeCompare(b));
  const control = select(
    [
      { value: "", label: "It is another class…" },
      ...labels.map((label, index) => ({ value: `${index}`, label })),
    ],
    {
      "aria-label": "It is another class",
      onchange() {
        const label = labels[Number(control.value)];
        if (control.value && label !== undefined) choose(label);
        control.value = "";
      },
    },
  );
  return h("div", null, control);
}
