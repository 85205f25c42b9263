// One image, large, with what two versions say of it.

import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { openDialog } from "../../ui/dialog.js";
import { storedImage } from "../../ui/stored_image.js";

/** @typedef {import("../../api/types.js").Version} Version */

/**
 * @param {readonly Version[]} versions the two
 * @param {import("./comparing.js").Pair} pair
 */
export function openPair(versions, { before, after }) {
  const said = [before, after].map(({ predicted, score, label, label_score: own }, index) => {
    const right = predicted === label ? "" : `, and gives ${label} ${percent(own)}`;
    return `Version ${versions[index]?.number} says ${predicted} (${percent(score, 0)})${right}.`;
  });
  openDialog(
    `Labelled ${after.label}`,
    () =>
      h(
        "div",
        { class: "image-dialog" },
        storedImage(after.sha256, { alt: `Labelled ${after.label}`, width: 640 }),
        h(
          "div",
          { class: "stack" },
          said.map((text) => h("p", null, text)),
        ),
      ),
    { wide: true },
  );
}
