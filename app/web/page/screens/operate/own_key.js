// The key in use, with its limits.

import { get } from "../../api/client.js";
import { bytes, count } from "../../lib/format.js";
import { loading, resource, shown } from "../../ui/resource.js";
import { table } from "../../ui/table.js";

/** @typedef {{limit: number, used: number, remaining: number}} Quota */

/**
 * @typedef {object} OwnKey
 * @property {string | null} id
 * @property {string | null} name
 * @property {string} workspace
 * @property {string[]} scopes
 * @property {string | null} expires_at
 * @property {{images_per_second: {limit: number} | null, waiting_jobs: Quota | null, stored_bytes: Quota | null}} limits
 */

export function ownKey() {
  const key = resource(async (signal) => /** @type {OwnKey} */ (await get("v1/key", { signal })));
  return shown(key, properties, loading);
}

/** @param {OwnKey} key */
function properties({ name, workspace, scopes, expires_at, limits }) {
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
