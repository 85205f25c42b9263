// Taking pictures of one class with the camera.

import { h } from "../../lib/dom.js";
import { count } from "../../lib/format.js";
import { signal } from "../../lib/signals.js";
import { button } from "../../ui/button.js";
import { camera } from "../../ui/camera.js";
import { openDialog } from "../../ui/dialog.js";
import { field } from "../../ui/field.js";

// Pictures a second while the button is held.
const PACE = 150;

/**
 * @param {import("../../staged/state.js").Staged} staged
 * @param {string} label of the class, which can be changed
 */
export function openCamera(staged, label) {
  openDialog("Take pictures", (close) => {
    const taken = signal(0);
    const view = camera();
    const name = h("input", { value: label, maxlength: 200, required: true });
    let held = 0;

    async function take() {
      const picture = await view.take();
      if (!picture) return;
      taken.value += 1;
      const path = `camera ${Date.now()}-${taken.peek()}.jpg`;
      staged.addTo(
        [{ path, size: picture.size, read: async () => picture }],
        name.value.trim() || label,
      );
    }
    const release = () => clearInterval(held);
    return h(
      "div",
      { class: "stack" },
      field("Class", name, { help: "What the pictures show." }),
      view.element,
      h(
        "div",
        { class: "row apart" },
        h("span", { class: "muted number", role: "status" }, () => count(taken.value, "picture")),
        h(
          "div",
          { class: "row" },
          button("Take picture", {
            kind: "primary",
            icon: "camera",
            title: "Hold for many",
            disabled: () => !view.ready.value,
            onclick: take,
            onpointerdown: () => (held = window.setInterval(take, PACE)),
            onpointerup: release,
            onpointerleave: release,
          }),
          button("Done", {
            onclick() {
              release();
              close();
            },
          }),
        ),
      ),
    );
  });
}
