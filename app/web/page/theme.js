// Light or dark: as the system says, until the reader chooses.

import { h } from "./lib/dom.js";
import { signal } from "./lib/signals.js";
import { button } from "./ui/button.js";

const STORED = "accrue.theme";
const DARK = matchMedia("(prefers-color-scheme: dark)");
const chosen = signal(localStorage.getItem(STORED));
const asSystem = signal(DARK.matches);
DARK.addEventListener("change", () => (asSystem.value = DARK.matches));

/** Uses what the reader chose before. */
export function restoreTheme() {
  if (chosen.peek()) document.documentElement.dataset.theme = chosen.peek() ?? "";
}

/** Makes the button that changes between light and dark. */
export function themeButton() {
  return h("span", null, () => {
    const dark = chosen.value ? chosen.value === "dark" : asSystem.value;
    return button("Light or dark", {
      icon: dark ? "sun" : "moon",
      kind: "quiet",
      alone: true,
      onclick: () => choose(dark ? "light" : "dark"),
    });
  });
}

/** @param {string} theme */
function choose(theme) {
  localStorage.setItem(STORED, theme);
  document.documentElement.dataset.theme = theme;
  chosen.value = theme;
}
