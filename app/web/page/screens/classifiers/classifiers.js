// All classifiers, a card each.

import { all } from "../../api/client.js";
import { may } from "../../api/session.js";
import { each, h } from "../../lib/dom.js";
import { linkButton } from "../../ui/button.js";
import { emptyScreen } from "../../ui/notice.js";
import { loading, resource, shown } from "../../ui/resource.js";
import { classifierCard } from "./card.js";

/** @typedef {import("../../api/types.js").Classifier} Classifier */

/** @type {import("../../screens.js").MakeScreen} */
export function screen() {
  const classifiers = resource((signal) =>
    all("v1/classifiers", { query: { limit: 1000 }, signal }),
  );
  return h(
    "div",
    { class: "stack loose" },
    shown(
      classifiers,
      (found) => (found.length ? [head(found.length), grid(found)] : welcome()),
      loading,
    ),
  );
}

/** @param {number} number */
function head(number) {
  return h(
    "div",
    { class: "row apart" },
    h("h1", null, number === 1 ? "Your classifier" : "Your classifiers"),
    may("train") ? newButton() : null,
  );
}

function newButton() {
  return linkButton("New classifier", "#/new", { kind: "primary", icon: "add" });
}

/** @param {Classifier[]} found */
function grid(found) {
  return h(
    "ul",
    { class: "cards" },
    each(
      () => found,
      (one) => one.name,
      (one) => h("li", null, classifierCard(one)),
    ),
  );
}

function welcome() {
  if (!may("train")) {
    return emptyScreen(
      "layers",
      "No classifiers yet",
      "Your key sees classifiers here once there are some.",
    );
  }
  return emptyScreen(
    "layers",
    "Teach your first classifier",
    "Give it some photographs of each thing that it shall tell apart. It learns in seconds, and you can add more things later: it does not forget.",
    linkButton("New classifier", "#/new", {
      kind: "primary",
      class: "button primary large",
      icon: "add",
    }),
  );
}
