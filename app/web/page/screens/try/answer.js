// What the classifier says of an image.

import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { link } from "../../lib/router.js";

/** @typedef {import("../../api/predictions.js").Answer} Answer */

/**
 * @param {string} name of the classifier
 * @param {Answer} answer
 */
export function answerView(name, answer) {
  const strange = answer.known === false;
  return h(
    "div",
    { class: "stack" },
    h(
      "div",
      { role: "status" },
      h("p", { class: "muted small" }, strange ? "Not like anything it has learnt" : "It sees"),
      h(
        "p",
        { class: strange ? "answer-label strange" : "answer-label" },
        strange ? "Unknown" : answer.label,
      ),
      strange
        ? h("p", { class: "muted" }, `Of what it knows, ${answer.label} is nearest.`)
        : badge(answer),
    ),
    strange
      ? h(
          "p",
          null,
          "Its scores only compare the classes that it knows. ",
          may("train")
            ? h(
                "a",
                { href: link("/classifiers/:name/teach", { name }) },
                "Teach it this as a new class",
              )
            : "Have it taught this as a new class",
          " if it matters.",
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
  if (known === true) return h("span", { class: "badge good" }, `${percent(score)} sure`);
  return h("span", { class: "badge", title: why ?? null }, `${percent(score)} sure`);
}
