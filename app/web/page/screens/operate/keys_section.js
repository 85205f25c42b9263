// Keys: the one in use, and for who may do everything, those of the workspace.

import { keysOn, may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { keyList } from "./key_list.js";
import { ownKey } from "./own_key.js";

export function keysSection() {
  return h(
    "section",
    { class: "card stack", "aria-labelledby": "keys" },
    h("h2", { id: "keys" }, "Keys"),
    keysOn.peek() ? [ownKey(), may("admin") ? keyList() : null] : keysOff(),
  );
}

function keysOff() {
  return h(
    "p",
    { class: "muted" },
    "Keys are off: whoever reaches this service may do everything. Before others can reach it, make a key on its machine with ",
    h("code", null, "accrue keys create NAME --scope admin"),
    ", and start the service with ",
    h("code", null, "ACCRUE_KEYS=required"),
    ".",
  );
}
