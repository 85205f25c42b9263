// The key in use with its limits, and how keys are made: not over HTTP, so that none can be made with one.

import { get } from "../../api/client.js";
import { keysOn } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { bytes, count } from "../../lib/format.js";
import { loading, resource, shown } from "../../ui/resource.js";
import { table } from "../../ui/table.js";

/** @typedef {{limit: number, used: number, remaining: number}} Quota */

/**
 * @typedef {object} Key
 * @property {string | null} id
 * @property {string | null} name
 * @property {string} workspace
 * @property {string[]} scopes
 * @property {string | null} expires_at
 * @property {{images_per_second: {limit: number} | null, waiting_jobs: Quota | null, stored_bytes: Quota | null}} limits
 */

const COMMANDS = [
  ["Make one, shown this once", "accrue keys create NAME --scope train --scope predict"],
  ["List them", "accrue keys list"],
  ["Revoke one", "accrue keys revoke NAME"],
];

export function keysSection() {
  const key = resource(async (signal) => /** @type {Key} */ (await get("v1/key", { signal })));
  return h(
    "section",
    { class: "card stack", "aria-labelledby": "keys" },
    h("h2", { id: "keys" }, "Keys"),
    keysOn.peek()
      ? shown(key, yours, loading)
      : h(
          "p",
          { class: "muted" },
          "Keys are off: whoever reaches this service may do everything. Turn them on before others can reach it: ",
          h("code", null, "ACCRUE_KEYS=required"),
          ".",
        ),
    h(
      "p",
      { class: "muted" },
      "Keys are made on the machine of the service, so that no key can make another one:",
    ),
    table(
      "Commands for keys",
      ["To", "Run"],
      COMMANDS.map(([what, command]) => [what, h("code", null, command)]),
    ),
  );
}

/** @param {Key} key */
function yours({ name, workspace, scopes, expires_at, limits }) {
  const { images_per_second: rate, waiting_jobs: jobs, stored_bytes: stored } = limits;
  return table(
    "Your key",
    ["Your key", "It has"],
    [
      ["Name", name ?? "–"],
      ["Workspace", workspace],
      ["May", scopes.join(", ")],
      [
        "Works until",
        expires_at === null ? "it is revoked" : new Date(expires_at).toLocaleString(),
      ],
      ["Predictions", rate ? `${count(rate.limit, "image")} a second` : "no limit"],
      ["Waiting jobs", jobs ? `${jobs.used} of ${jobs.limit}` : "no limit"],
      ["Storage", stored ? `${bytes(stored.used)} of ${bytes(stored.limit)}` : "no limit"],
    ],
  );
}
