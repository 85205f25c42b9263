// What else can be done with a version: compare it, name it, download it, delete it.

import { path, send } from "../../api/client.js";
import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { bytes } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { signal } from "../../lib/signals.js";
import { announce } from "../../ui/announce.js";
import { button } from "../../ui/button.js";
import { confirmed } from "../../ui/dialog.js";
import { downloadButton } from "../../ui/download.js";
import { field, select } from "../../ui/field.js";
import { problemNotice } from "../../ui/notice.js";
import { namingForm } from "./naming.js";

/** @typedef {import("../../api/types.js").Version} Version */

/**
 * @param {string} name
 * @param {Version} version
 * @param {readonly Version[]} versions
 * @param {() => Promise<void>} reload
 */
export function actions(name, version, versions, reload) {
  const problem = signal(/** @type {unknown} */ (null));
  const to = path`v1/classifiers/${name}/versions/${version.number}`;

  async function remove() {
    const sure = await confirmed(
      `Delete version ${version.number}?`,
      "Versions that were learnt from it stay. It cannot be brought back.",
      "Delete it",
    );
    if (!sure) return;
    try {
      await send("DELETE", to);
      announce(`Version ${version.number} is deleted.`);
      location.hash = link("/classifiers/:name/versions", { name });
    } catch (error) {
      problem.value = error;
    }
  }

  return h(
    "section",
    { class: "card stack", "aria-labelledby": "actions" },
    h("h2", { id: "actions" }, "Work with it"),
    comparison(name, version, versions),
    namingForm(name, version, versions, reload),
    h(
      "div",
      { class: "row" },
      may("train")
        ? downloadButton(
            `Download (${bytes(version.size_bytes)})`,
            `${to}/checkpoint`,
            `${name}-${version.number}.tar`,
          )
        : null,
      may("train")
        ? downloadButton(
            "Export as ONNX",
            `${to}/export?format=onnx`,
            `${name}-${version.number}.onnx`,
            { mayFail: true },
          )
        : null,
      may("train")
        ? downloadButton(
            "Export for PyTorch",
            `${to}/export?format=torch`,
            `${name}-${version.number}.zip`,
            { mayFail: true },
          )
        : null,
      may("admin") && !version.aliases.length
        ? button("Delete", { icon: "trash", kind: "quiet", onclick: remove })
        : null,
    ),
    () => (problem.value ? problemNotice(problem.value) : null),
  );
}

/**
 * @param {string} name
 * @param {Version} version
 * @param {readonly Version[]} versions
 */
function comparison(name, version, versions) {
  const others = versions.filter(({ number }) => number !== version.number);
  if (!others.length) {
    return h("p", { class: "muted" }, "Once there is another version, the two can be compared.");
  }
  const usual = others.find(({ number }) => number === version.parent) ?? others[0];
  const choice = select(
    others.map(({ number, aliases }) => ({
      value: `${number}`,
      label: `Version ${number}${aliases.length ? ` (${aliases.join(", ")})` : ""}`,
    })),
    { value: `${usual?.number}` },
  );
  return h(
    "form",
    {
      class: "row bottom",
      /** @param {SubmitEvent} event */
      onsubmit(event) {
        event.preventDefault();
        const [before, after] = [Number(choice.value), version.number].sort((a, b) => a - b);
        location.hash = link("/classifiers/:name/compare/:before/:after", {
          name,
          before: `${before}`,
          after: `${after}`,
        });
      },
    },
    h("div", { class: "grow" }, field("Compare with", choice)),
    button("Compare", { type: "submit", icon: "split" }),
  );
}
