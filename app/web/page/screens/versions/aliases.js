// The names of a version.

import { path, send } from "../../api/client.js";
import { h } from "../../lib/dom.js";

/** What predictions come from. */
export const LIVE = "live";

/** @param {readonly string[]} aliases */
export function aliasBadges(aliases) {
  const sorted = [...aliases].sort((a, b) => Number(b === LIVE) - Number(a === LIVE));
  return sorted.map((alias) =>
    h("span", { class: alias === LIVE ? "badge good" : "badge" }, alias),
  );
}

/**
 * Makes an alias name a version, if it still names the one that the reader has seen.
 * @param {string} name
 * @param {string} alias
 * @param {number} version
 * @param {number | null} expected null: the alias must be new
 */
export async function move(name, alias, version, expected) {
  const json = { version, expected_version: expected };
  await send("PUT", path`v1/classifiers/${name}/aliases/${alias}`, { json });
}
