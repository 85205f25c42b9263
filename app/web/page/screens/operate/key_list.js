// The keys of the workspace: made, shown once, and revoked.

import { all, path, send } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { ago } from "../../lib/format.js";
import { signal } from "../../lib/signals.js";
import { announce } from "../../ui/announce.js";
import { button } from "../../ui/button.js";
import { confirmed } from "../../ui/dialog.js";
import { problemNotice } from "../../ui/notice.js";
import { loading, resource, shown } from "../../ui/resource.js";
import { table } from "../../ui/table.js";
import { newKeyDialog } from "./new_key_dialog.js";

/**
 * @typedef {object} Key
 * @property {string} id
 * @property {string} name
 * @property {string[]} scopes
 * @property {"active" | "expired" | "revoked"} state
 * @property {string} created_at
 * @property {string | null} created_by
 * @property {string | null} expires_at
 * @property {string | null} last_used_at
 */

const MOST = 1000;

export function keyList() {
  const problem = signal(/** @type {unknown} */ (null));
  const keys = resource((aborted) =>
    all("v1/keys", { query: { limit: MOST }, most: MOST, signal: aborted }),
  );

  /** @param {Key} key */
  async function revoke(key) {
    const sure = await confirmed(
      `Revoke ${key.name}?`,
      "Programs that use it are refused within five seconds. It cannot be brought back. Keys that it has made go on working.",
      "Revoke it",
    );
    if (!sure) return;
    try {
      await send("DELETE", path`v1/keys/${key.id}`);
      announce(`${key.name} is revoked.`);
      await keys.reload();
    } catch (error) {
      problem.value = error;
    }
  }

  return h(
    "div",
    { class: "stack" },
    h(
      "div",
      { class: "row apart" },
      h("h3", null, "Keys of the workspace"),
      button("New key", { icon: "add", onclick: () => newKeyDialog(keys.reload) }),
    ),
    () => (problem.value ? problemNotice(problem.value) : null),
    shown(
      keys,
      (/** @type {Key[]} */ found) =>
        table(
          "Keys of the workspace",
          ["Name", "May", "State", "Made", "Last used", "Change"],
          found.map((key) => row(key, found, revoke)),
        ),
      loading,
    ),
  );
}

/**
 * @param {Key} key
 * @param {readonly Key[]} others
 * @param {(key: Key) => void} revoke
 * @returns {import("../../lib/dom.js").Child[]}
 */
function row(key, others, revoke) {
  const maker = others.find(({ id }) => id === key.created_by);
  return [
    h("span", { title: key.id }, key.name),
    key.scopes.join(", "),
    h("span", { class: key.state === "active" ? "badge good" : "badge" }, state(key)),
    `${ago(key.created_at)}${key.created_by ? ` with ${maker?.name ?? key.created_by}` : ""}`,
    key.last_used_at ? ago(key.last_used_at) : "never",
    key.state === "active"
      ? button(`Revoke ${key.name}`, {
          icon: "trash",
          kind: "quiet",
          alone: true,
          onclick: () => revoke(key),
        })
      : null,
  ];
}

/** @param {Key} key */
function state({ state: known, expires_at }) {
  return known === "active" && expires_at
    ? `until ${new Date(expires_at).toLocaleDateString()}`
    : known;
}
