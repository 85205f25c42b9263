// A new classifier: a name is enough.

import { all, post } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { link } from "../../lib/router.js";
import { signal, untracked } from "../../lib/signals.js";
import { keepDraft } from "../../staged/drafts.js";
import { button, linkButton } from "../../ui/button.js";
import { field, select } from "../../ui/field.js";
import { problemNotice } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";
import { advisor } from "./advisor.js";
import { NAME, NAME_HELP } from "../../ui/names.js";
import { optionFields } from "./options.js";
import { valueOf } from "./schema.js";

/** @typedef {import("./options.js").MethodInfo} MethodInfo */
/** @typedef {{name: string}} BackboneInfo */

const CHOSEN = { value: "", label: "Let the service choose" };
const ADVICE =
  "The service chooses what learns photographs in seconds and forgets nothing: analytic, on a network that has seen a million photographs.";

/** @type {import("../../screens.js").MakeScreen} */
export function screen() {
  const problem = signal(/** @type {unknown} */ (null));
  const busy = signal(false);
  const name = h("input", {
    name: "name",
    required: true,
    maxlength: 64,
    pattern: NAME,
    title: NAME_HELP,
    "data-focus": true,
    autocomplete: "off",
    placeholder: "flowers",
  });
  /** @type {() => Record<string, unknown>} */
  let more = () => ({});
  // What was advised; it goes before the fields behind "More".
  const advised = signal(/** @type {Record<string, unknown> | null} */ (null));

  // The images that advice was given about.
  /** @type {import("../../staged/drafts.js").Draft | null} */
  let draft = null;

  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    busy.value = true;
    problem.value = null;
    try {
      const made = await post("v1/classifiers", {
        ...(advised.peek() ?? more()),
        name: name.value.trim(),
      });
      if (draft) keepDraft(made.name, draft);
      location.hash = link("/classifiers/:name/teach", { name: made.name });
    } catch (error) {
      problem.value = error;
      busy.value = false;
    }
  }

  return h(
    "form",
    { class: "new-classifier stack", onsubmit: submit },
    h("h1", null, "New classifier"),
    h(
      "p",
      { class: "muted" },
      "A name is enough. You add the things that it shall tell apart next, and more of them whenever you like.",
    ),
    h(
      "div",
      { class: "card stack" },
      field("Name", name, { help: NAME_HELP }),
      unfolded("Have the service find what suits my images", () =>
        advisor(
          (choice) => (advised.value = choice),
          (images) => (draft = images),
        ),
      ),
      () => (advised.value ? described(advised.value, () => (advised.value = null)) : null),
      unfolded(
        "Choose method and network myself",
        () => {
          const [element, read] = choices();
          more = read;
          return element;
        },
        { hidden: () => advised.value !== null },
      ),
    ),
    () => (problem.value ? problemNotice(problem.value) : null),
    h(
      "div",
      { class: "row" },
      button("Create and teach", { kind: "primary", type: "submit", disabled: () => busy.value }),
      linkButton("Cancel", "#/", { kind: "quiet" }),
    ),
  );
}

/**
 * Shows something once it is asked for.
 * @param {string} summary
 * @param {() => Element} make
 * @param {import("../../lib/dom.js").Props} [props]
 */
function unfolded(summary, make, props = {}) {
  const open = signal(false);
  return h(
    "details",
    {
      ...props,
      /** @param {Event} event */
      ontoggle(event) {
        // Folded again, it stays as it is.
        open.value ||= /** @type {HTMLDetailsElement} */ (event.currentTarget).open;
      },
    },
    h("summary", null, summary),
    () => (open.value ? untracked(make) : null),
  );
}

/**
 * @param {Record<string, unknown>} advised
 * @param {() => void} clear
 */
function described({ method, backbone, image_size: size }, clear) {
  return h(
    "div",
    { class: "row apart", role: "status" },
    h("p", null, "It will be ", h("strong", null, `${method} on ${backbone}, ${size} pixels`), "."),
    button("Choose otherwise", { kind: "quiet", onclick: clear }),
  );
}

/**
 * Shows what can be chosen besides the name.
 * @returns {[Element, () => Record<string, unknown>]} the fields, and what is chosen in them
 */
function choices() {
  /** @type {() => Record<string, unknown>} */
  let read = () => ({});
  const lists = resource(async (aborted) => ({
    methods: /** @type {MethodInfo[]} */ (await all("v1/methods", { signal: aborted })),
    backbones: /** @type {BackboneInfo[]} */ (await all("v1/backbones", { signal: aborted })),
  }));
  const element = h(
    "div",
    { class: "stack more" },
    shown(lists, ({ methods, backbones }) => {
      const [fields, readFields] = chooser(methods, backbones);
      read = readFields;
      return fields;
    }),
  );
  return [element, () => read()];
}

/**
 * @param {MethodInfo[]} methods
 * @param {BackboneInfo[]} backbones
 * @returns {[Element, () => Record<string, unknown>]}
 */
function chooser(methods, backbones) {
  const chosen = signal("");
  /** @type {() => Record<string, unknown>} */
  let options = () => ({});
  const method = select([CHOSEN, ...methods.map(({ name }) => ({ value: name, label: name }))], {
    name: "method",
    onchange: () => (chosen.value = method.value),
  });
  const backbone = select(
    [CHOSEN, ...backbones.map(({ name }) => ({ value: name, label: name }))],
    { name: "backbone" },
  );
  const size = h("input", { name: "image_size", inputmode: "numeric", placeholder: "chosen" });
  const element = h(
    "div",
    { class: "stack" },
    field("Method", method, {
      help: () => methods.find(({ name }) => name === chosen.value)?.summary ?? ADVICE,
    }),
    field("Backbone", backbone, { help: "The network that turns images into features." }),
    field("Image size", size, { help: "Images become squares with sides of so many pixels." }),
    () => {
      const found = methods.find(({ name }) => name === chosen.value);
      options = () => ({});
      if (!found) return null;
      const [fields, read] = optionFields(found);
      options = read;
      return h("fieldset", null, h("legend", null, `Options of ${found.name}`), fields);
    },
  );
  return [element, () => body(method.value, backbone.value, size.value, options())];
}

/**
 * @param {string} method
 * @param {string} backbone
 * @param {string} size
 * @param {Record<string, unknown>} options
 */
function body(method, backbone, size, options) {
  return {
    ...(method ? { method } : {}),
    ...(backbone ? { backbone } : {}),
    ...(size.trim() ? { image_size: valueOf({ type: "integer" }, size.trim()) } : {}),
    ...(Object.keys(options).length ? { options } : {}),
  };
}
