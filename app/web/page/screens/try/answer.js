// What the classifier says of an image.

import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { notice } from "../../ui/notice.js";

/** @typedef {import("../../api/predictions.js").Answer} Answer */

/** @param {Answer} answer */
export function answerView(answer) {
  const strange = answer.known === false;
  return h(
    "div",
    { class: "stack" },
    h(
      "div",
      { role: "status" },
      h(
        "p",
        { class: "muted small" },
        strange ? "It does not know this. Nearest to it is" : "It sees",
      ),
      h("p", { class: strange ? "answer-label strange" : "answer-label" }, answer.label),
      badge(answer),
    ),
    strange
      ? notice(
          "warning",
          "Not like anything it has learnt",
          h(
            "p",
            null,
            "Its scores only compare the classes that it knows. Teach it this as a new class if it matters.",
          ),
        )
      : null,
    h(
      "ol",
      { class: "ranked", "aria-label": "Scores" },
      answer.ranked.map(({ label, score }) =>
        h(
          "li",
          null,
          h("span", { class: "cut" }, label),
          h("span", { class: "bar" }, h("span", { style: { width: `${100 * score}%` } })),
          h("span", { class: "number small" }, percent(score)),
        ),
      ),
    ),
    h("p", { class: "muted small" }, `Answered by version ${answer.version}.`),
  );
}

/** @param {Answer} answer */
function badge({ known, score, known_why: why }) {
  if (known === false) return h("span", { class: "badge warning" }, "Unknown");
  if (known === true) return h("span", { class: "badge good" }, `${percent(score)} sure`);
  return h("span", { class: "badge", title: why ?? null }, `${percent(score)} sure`);
}
