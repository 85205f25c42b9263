// Light or dark: as the system says, until the reader chooses.

import { button } from "./ui/button.js";

const STORED = "accrue.theme";

/** Uses what the reader chose before. */
export function restoreTheme() {
  const chosen = localStorage.getItem(STORED);
  if (chosen) document.documentElement.dataset.theme = chosen;
}

/** Makes the button that changes between light and dark. */
export function themeButton() {
  return button("Light or dark", {
    icon: "moon",
    kind: "quiet",
    alone: true,
    onclick() {
      const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
      const asSystem = matchMedia("(prefers-color-scheme: dark)").matches;
      const isDark = document.documentElement.dataset.theme ? dark : asSystem;
      const next = isDark ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      localStorage.setItem(STORED, next);
    },
  });
}
