// One judged image, large, with what can be done about its label.

import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { button } from "../../ui/button.js";
import { openDialog } from "../../ui/dialog.js";
import { storedImage } from "../../ui/stored_image.js";
import { labelChoice } from "./label_choice.js";
import { outcome } from "./words.js";
import { whyButton } from "./why.js";

/** @typedef {import("../../api/types.js").Judgement} Judgement */

/**
 * @param {import("./inside.js").Inside} inside
 * @param {Judgement} image
 */
export function openImage(inside, image) {
  const { corrections } = inside;
  openDialog(
    `Labelled ${image.label}`,
    (close) => {
      const decide = (/** @type {string | null} */ label) => {
        corrections.decide(image, label);
        close();
      };
      const says = `It says ${image.predicted} (${percent(image.score, 0)})`;
      const own =
        image.label === image.predicted ? "" : `, ${image.label} ${percent(image.label_score)}`;
      return h(
        "div",
        { class: "image-dialog" },
        storedImage(image.sha256, { alt: `Labelled ${image.label}`, width: 640 }),
        h(
          "div",
          { class: "stack" },
          h("p", null, `${says}${own}.`),
          h("p", { class: "muted" }, () => {
            const decision = corrections.decisions.value.get(image.sha256);
            return decision ? `Decided: ${outcome(image, decision)}.` : null;
          }),
          image.label === image.predicted
            ? null
            : button(`Correct to ${image.predicted}`, {
                icon: "check",
                kind: "primary",
                onclick: () => decide(image.predicted),
              }),
          button("Leave it out", { icon: "trash", onclick: () => decide(null) }),
          labelChoice(inside, decide),
          may("predict") ? whyButton(inside, image.sha256) : null,
        ),
      );
    },
    { wide: true },
  );
}
