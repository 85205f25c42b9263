// Merging a class into another one.

import { h } from "../../lib/dom.js";
import { button } from "../../ui/button.js";
import { openDialog } from "../../ui/dialog.js";
import { field, select } from "../../ui/field.js";

/**
 * @param {import("../../staged/state.js").Staged} staged
 * @param {string} label of the class that goes
 */
export function openMerge(staged, label) {
  const here = staged.groups.peek().map((group) => group.label);
  const others = [...new Set([...here, ...staged.known.peek()])].filter((one) => one !== label);
  openDialog(`Merge ${label}`, (close) => {
    if (!others.length) return h("p", null, "There is no other class to merge it into yet.");
    const into = select(
      others.map((value) => ({ value, label: value })),
      { name: "into" },
    );
    return h(
      "div",
      { class: "stack" },
      field("Into", into, { help: `All images of ${label} will be images of that class.` }),
      h(
        "div",
        { class: "row end" },
        button("Merge", {
          kind: "primary",
          onclick() {
            close();
            staged.rename(label, into.value);
          },
        }),
      ),
    );
  });
}
