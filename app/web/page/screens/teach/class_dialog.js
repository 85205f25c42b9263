// All images of a class: choose some, and move them to another class or leave them out.

import { h } from "../../lib/dom.js";
import { count } from "../../lib/format.js";
import { computed, effect, signal } from "../../lib/signals.js";
import { fileThumbnail } from "../../media/thumbnails.js";
import { button } from "../../ui/button.js";
import { openDialog } from "../../ui/dialog.js";
import { icon } from "../../ui/icon.js";
import { virtualGrid } from "../../ui/virtual_grid.js";

/**
 * @param {import("../../staged/state.js").Staged} staged
 * @param {string} key of the class
 */
export function openClass(staged, key) {
  const label = staged.groups.peek().find((one) => one.key === key)?.label ?? "";
  openDialog(label, (close) => editor(staged, key, close), { wide: true });
}

/**
 * @param {import("../../staged/state.js").Staged} staged
 * @param {string} key
 * @param {() => void} close
 */
function editor(staged, key, close) {
  const items = computed(() => staged.groups.value.find((one) => one.key === key)?.items ?? []);
  const chosen = signal(/** @type {ReadonlySet<string>} */ (new Set()));
  effect(() => {
    if (!items.value.length) queueMicrotask(close);
  });
  const some = () => chosen.value.size > 0;
  const take = (/** @type {(ids: ReadonlySet<string>) => void} */ action) => () => {
    const ids = chosen.peek();
    chosen.value = new Set();
    action(ids);
  };
  /** @param {string} id */
  function toggle(id) {
    const next = new Set(chosen.peek());
    if (!next.delete(id)) next.add(id);
    chosen.value = next;
  }
  const others = [
    ...new Set([...staged.groups.peek().map(({ label }) => label), ...staged.known.peek()]),
  ];
  const to = h("input", {
    list: "move-to",
    placeholder: "Another class or a new one",
    "aria-label": "Move to class",
    maxlength: 200,
  });
  const grid = virtualGrid(() => items.value, {
    label: "Images of the class",
    smallest: 112,
    gap: 8,
    same: (item, other) => item.id === other.id,
    make: (item) =>
      h(
        "button",
        {
          type: "button",
          class: "thumb choice",
          "aria-pressed": () => String(chosen.value.has(item.id)),
          "aria-label": item.name,
          onclick: () => toggle(item.id),
        },
        fileThumbnail(item.read, { alt: "" }),
        h("span", { class: "choice-mark" }, icon("check")),
      ),
  });
  return h(
    "div",
    { class: "stack" },
    h(
      "div",
      { class: "row apart" },
      h("span", { class: "muted", role: "status" }, () =>
        some()
          ? `${count(chosen.value.size, "image")} chosen`
          : `${count(items.value.length, "image")}. Choose some to move them or leave them out.`,
      ),
      button("Choose all", {
        kind: "quiet",
        onclick: () => (chosen.value = new Set(items.peek().map(({ id }) => id))),
      }),
    ),
    h("div", { class: "virtual" }, grid),
    h(
      "form",
      {
        class: "row",
        /** @param {SubmitEvent} event */
        onsubmit(event) {
          event.preventDefault();
          if (to.value.trim() && some()) take((ids) => staged.move(ids, to.value))();
          to.value = "";
        },
      },
      h(
        "datalist",
        { id: "move-to" },
        others.map((value) => h("option", { value })),
      ),
      h("div", { class: "move-to" }, to),
      button("Move", { icon: "move", type: "submit", disabled: () => !some() }),
      button("Leave out", {
        icon: "trash",
        disabled: () => !some(),
        onclick: take((ids) => staged.leaveOut(ids)),
      }),
    ),
  );
}
