// The bar at the bottom: what would be sent, and the one button that sends and learns it.

import { h } from "../../lib/dom.js";
import { bytes, count } from "../../lib/format.js";
import { button } from "../../ui/button.js";
import { mayPass } from "../../api/problem.js";
import { problemNotice } from "../../ui/notice.js";

/** @typedef {import("../../staged/sending.js").Sending} Sending */

/**
 * @param {import("../../staged/state.js").Staged} staged
 * @param {() => Sending | null} sending
 * @param {{learn: () => void, giveUp: () => void}} actions
 */
export function learnBar(staged, sending, { learn, giveUp }) {
  return h("div", { class: "learn-bar", role: "region", "aria-label": "Learn" }, () => {
    const now = sending();
    return now ? onTheWay(now, learn, giveUp) : ready(staged, learn);
  });
}

/**
 * @param {import("../../staged/state.js").Staged} staged
 * @param {() => void} learn
 */
function ready(staged, learn) {
  const classes = () => staged.groups.value.length;
  const alone = () => classes() + staged.known.value.length < 2;
  const images = () => staged.items.value.length;
  return h(
    "div",
    { class: "row apart nowrap" },
    h(
      "div",
      null,
      h(
        "strong",
        { class: "number" },
        () => `${count(classes(), "class", "classes")}, ${count(images(), "image")}`,
      ),
      h("p", { class: "muted small" }, () => remark(staged, alone())),
    ),
    button("Learn", {
      kind: "primary",
      class: "button primary large",
      icon: "spark",
      disabled: alone,
      onclick: learn,
    }),
  );
}

/**
 * @param {import("../../staged/state.js").Staged} staged
 * @param {boolean} alone
 */
function remark(staged, alone) {
  if (alone) return "Add a second class: one alone cannot be told apart from anything.";
  const warnings = staged.warnings.value.length;
  if (warnings) return `${count(warnings, "remark")} above. You can learn all the same.`;
  return `${bytes(staged.items.value.reduce((sum, { size }) => sum + size, 0))} to send.`;
}

/**
 * @param {Sending} now
 * @param {() => void} learn
 * @param {() => void} giveUp
 */
function onTheWay(now, learn, giveUp) {
  const share = () => (100 * now.sent.value.size) / Math.max(1, now.items.length);
  return h(
    "div",
    { class: "stack tight" },
    () => (now.state.value === "failed" ? problemNotice(now.problem.value) : null),
    h(
      "div",
      { class: "row apart" },
      h(
        "strong",
        { class: "number", role: "status" },
        () =>
          `${now.state.value === "paused" ? "Paused" : "Sending"}: ${now.sent.value.size} of ${count(now.items.length, "image")}`,
      ),
      h(
        "div",
        { class: "row" },
        () =>
          now.state.value === "sending"
            ? button("Pause", { icon: "pause", onclick: () => now.pause() })
            : now.state.value === "failed" && !mayPass(now.problem.value)
              ? null
              : button(now.state.value === "failed" ? "Try again" : "Go on", {
                  icon: "play",
                  kind: "primary",
                  onclick: learn,
                }),
        button("Cancel", { icon: "close", onclick: giveUp }),
      ),
    ),
    h(
      "div",
      { class: "bar large", "aria-hidden": "true" },
      h("span", { style: () => ({ width: `${share()}%` }) }),
    ),
  );
}
