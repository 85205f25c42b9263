// One image and what to do about its label, by a key each.

import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { computed, onEnd, signal } from "../../lib/signals.js";
import { icon } from "../../ui/icon.js";
import { storedImage } from "../../ui/stored_image.js";
import { labelChoice } from "./label_choice.js";
import { outcome } from "./words.js";
import { whyButton } from "./why.js";

/** @typedef {import("../../api/types.js").Judgement} Judgement */
/** @typedef {{key: string, icon: import("../../ui/icon.js").IconName, label: () => string, act: () => void, primary?: boolean}} Action */

/**
 * @param {import("./inside.js").Inside} inside
 * @param {readonly Judgement[]} images at least one
 * @param {import("../../lib/signals.js").Signal<number>} index of the image that is shown
 */
export function review(inside, images, index) {
  const { corrections, version } = inside;
  const image = computed(() => /** @type {Judgement} */ (images[index.value]));

  // Heard only: what is decided is seen in the bar below.
  const said = signal("");

  // The places of what was decided, the last one last.
  /** @type {number[]} */
  const decided = [];

  /** @param {string | null} label */
  function decide(label) {
    const now = image.peek();
    corrections.decide(now, label);
    decided.push(index.peek());
    said.value = `${now.label}: ${outcome(now, corrections.decisions.peek().get(now.sha256))}.`;
    go(1);
  }

  /** Takes the last decision back, and shows its image again. */
  function undo() {
    index.value = decided.pop() ?? index.peek();
    corrections.undo(image.peek());
    said.value = `${image.peek().label}: not decided.`;
  }

  /** @param {number} by */
  function go(by) {
    index.value = Math.min(images.length - 1, Math.max(0, index.peek() + by));
  }

  /** @type {Action[]} */
  const actions = [
    {
      key: "c",
      icon: "check",
      label: () => `Correct to ${image.value.predicted}`,
      act: () => decide(image.peek().predicted),
      primary: true,
    },
    { key: "x", icon: "trash", label: () => "Leave it out", act: () => decide(null) },
    {
      key: "k",
      icon: "pencil",
      label: () => `Keep ${image.value.label}`,
      act: () => decide(image.peek().label),
    },
  ];
  /** @type {Record<string, () => void>} */
  const keys = {
    ...Object.fromEntries(actions.map(({ key, act }) => [key, act])),
    ArrowRight: () => go(1),
    ArrowLeft: () => go(-1),
    u: undo,
  };

  // On the whole screen: nobody has to find the place first.
  addEventListener("keydown", press);
  onEnd(() => removeEventListener("keydown", press));
  /** @param {KeyboardEvent} event */
  function press(event) {
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    // Letters choose or write there.
    if (at instanceof HTMLSelectElement || at instanceof HTMLInputElement) return;
    if (document.querySelector("dialog[open]")) return;
    event.preventDefault();
    act();
  }

  const left = computed(
    () => images.filter(({ sha256 }) => !corrections.decisions.value.has(sha256)).length,
  );
  return h(
    "section",
    {
      class: "card review",
      tabindex: 0,
      "data-focus": true,
      "aria-label": "Suspected label",
      "aria-describedby": "review-keys",
    },
    h("div", { class: "review-image" }, () =>
      storedImage(image.value.sha256, { alt: `Labelled ${image.value.label}`, width: 640 }),
    ),
    h(
      "div",
      { class: "review-text" },
      h("p", { class: "visually-hidden", role: "status" }, () => said.value),
      h("p", { class: "small muted" }, () =>
        left.value
          ? `${index.value + 1} of ${images.length}, ${left.value} left to decide`
          : `All ${images.length} are decided.`,
      ),
      h("div", { role: "status", class: "stack tight" }, () => about(image.value, version.number)),
      h("p", { class: "small" }, () => {
        const decision = corrections.decisions.value.get(image.value.sha256);
        return decision
          ? h("span", { class: "badge good" }, icon("check"), outcome(image.value, decision))
          : null;
      }),
      h(
        "div",
        { class: "review-actions" },
        ...actions.map(({ key, icon: shape, label, act, primary }) =>
          h(
            "button",
            { type: "button", class: `button ${primary ? "primary" : ""}`, onclick: act },
            icon(shape),
            h("span", { class: "grow cut" }, label),
            h("kbd", { "aria-hidden": "true" }, key.toUpperCase()),
          ),
        ),
        labelChoice(inside, decide),
      ),
      h(
        "p",
        { class: "small muted", id: "review-keys" },
        "Keys: C corrects, X leaves out, K keeps, U takes the last one back, arrows go on.",
      ),
      may("predict") ? () => whyButton(inside, image.value.sha256) : null,
    ),
  );
}

/**
 * @param {Judgement} image
 * @param {number} version
 */
function about({ label, predicted, score, label_score: own }, version) {
  return [
    h("h2", null, "Labelled ", h("mark", null, label)),
    h(
      "p",
      null,
      `Version ${version} says ${predicted} (${percent(score, 0)}), and gives ${label} ${percent(own, 1)}.`,
    ),
  ];
}
