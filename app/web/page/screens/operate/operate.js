// What the service does, and whether it is well: jobs, workers, queue, storage and keys.

import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { examination } from "./examination.js";
import { fleet } from "./fleet.js";
import { health } from "./health.js";
import { jobsSection } from "./jobs_section.js";
import { keysSection } from "./keys_section.js";

/** @type {import("../../screens.js").MakeScreen} */
export function screen() {
  return h(
    "div",
    { class: "stack loose" },
    h("h1", null, "Operate"),
    health(),
    may("metrics") ? fleet() : null,
    may("train") ? jobsSection() : null,
    keysSection(),
    may("admin") ? examination() : null,
  );
}
