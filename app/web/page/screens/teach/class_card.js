// A class that waits to be learnt: its name, its images, and what to know about it.

import { each, h } from "../../lib/dom.js";
import { count } from "../../lib/format.js";
import { computed } from "../../lib/signals.js";
import { fileThumbnail } from "../../media/thumbnails.js";
import { button } from "../../ui/button.js";
import { droppable, fileButton } from "../../ui/drop_zone.js";
import { hasCamera } from "../../ui/camera.js";
import { icon } from "../../ui/icon.js";
import { openCamera } from "./camera_dialog.js";
import { openClass } from "./class_dialog.js";
import { openMerge } from "./merge_dialog.js";

/** @typedef {import("../../staged/state.js").Staged} Staged */
/** @typedef {import("../../staged/sending.js").Sending} Sending */

// Two rows; the dialog has the rest.
const SHOWN = 10;

/**
 * @param {Staged} staged
 * @param {string} key of the card
 * @param {() => Sending | null} sending
 * @param {(error: unknown) => void} failed
 */
export function classCard(staged, key, sending, failed) {
  const group = computed(() => staged.groups.value.find((one) => one.key === key));
  const label = computed(() => group.value?.label ?? "");
  const items = computed(() => group.value?.items ?? []);
  const own = computed(() => staged.warnings.value.filter(({ about }) => about === label.value));
  const sent = computed(() => sending()?.sent.value ?? new Set());
  const editable = () => sending() === null;
  const name = h("input", {
    class: "class-name",
    "aria-label": "Name of the class",
    value: () => label.value,
    maxlength: 200,
    disabled: () => !editable(),
    onchange() {
      staged.rename(label.peek(), name.value);
      name.value = label.peek();
    },
    /** @param {KeyboardEvent} event */
    onkeydown(event) {
      if (event.key === "Enter") name.blur();
    },
  });
  const take = (/** @type {import("../../media/files.js").Entry[]} */ entries) =>
    staged.addTo(entries, label.peek());
  const card = h(
    "div",
    { class: "card class-card", role: "group", "aria-label": () => `Class ${label.value}` },
    h(
      "div",
      { class: "row apart nowrap" },
      name,
      () =>
        staged.known.value.includes(label.value)
          ? h("span", { class: "badge" }, "more of a known class")
          : null,
      h("span", { class: "muted number small nowrap-text" }, () =>
        progress(items.value, sent.value, sending()),
      ),
    ),
    h(
      "div",
      { class: "thumbs" },
      each(
        () => items.value.slice(0, SHOWN),
        (item) => item.id,
        (item) =>
          h(
            "div",
            { class: () => `thumb ${sending() && !sent.value.has(item.id) ? "waits" : ""}` },
            fileThumbnail(item.read, {
              alt: item.name,
              failed: () => staged.cannotShow(item),
            }),
          ),
      ),
      () =>
        items.value.length > SHOWN
          ? h("span", { class: "thumb more-thumbs number" }, `+${items.value.length - SHOWN}`)
          : null,
    ),
    () =>
      sending()
        ? h(
            "div",
            { class: "bar", "aria-hidden": "true" },
            h("span", { style: () => ({ width: share(items.value, sent.value) }) }),
          )
        : null,
    h("ul", { class: "class-warnings" }, () =>
      own.value.map((warning) =>
        h(
          "li",
          null,
          icon("alert"),
          h("span", { class: "grow" }, warning.text),
          warning.ids.length && editable()
            ? button("Leave out", {
                kind: "quiet",
                onclick: () => staged.leaveOut(new Set(warning.ids)),
              })
            : null,
        ),
      ),
    ),
    () => (editable() ? actions() : null),
  );
  droppable(card, take, failed);
  return card;

  function actions() {
    return h(
      "div",
      { class: "row class-actions" },
      button("Edit", {
        kind: "quiet",
        icon: "pencil",
        "aria-label": () => `Edit images of ${label.value}`,
        onclick: () => openClass(staged, key),
      }),
      fileButton("Add", { take, failed, look: { kind: "quiet", icon: "add" } }),
      hasCamera()
        ? button("Camera", {
            kind: "quiet",
            icon: "camera",
            onclick: () => openCamera(staged, label.peek()),
          })
        : null,
      button("Merge", {
        kind: "quiet",
        icon: "merge",
        onclick: () => openMerge(staged, label.peek()),
      }),
      button("Leave out the class", {
        kind: "quiet",
        icon: "trash",
        alone: true,
        "aria-label": () => `Leave out ${label.value}`,
        onclick: () => staged.leaveOut(new Set(items.peek().map(({ id }) => id))),
      }),
    );
  }
}

/**
 * @param {readonly {id: string}[]} items
 * @param {ReadonlySet<unknown>} sent
 * @param {Sending | null} sending
 */
function progress(items, sent, sending) {
  if (!sending) return count(items.length, "image");
  return `${items.filter(({ id }) => sent.has(id)).length} of ${items.length}`;
}

/**
 * @param {readonly {id: string}[]} items
 * @param {ReadonlySet<unknown>} sent
 */
function share(items, sent) {
  return `${(100 * items.filter(({ id }) => sent.has(id)).length) / Math.max(1, items.length)}%`;
}
