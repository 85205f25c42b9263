// What `accrue doctor` says of the installation, when asked.

import { get } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { signal } from "../../lib/signals.js";
import { button } from "../../ui/button.js";
import { notice, problemNotice } from "../../ui/notice.js";
import { loading } from "../../ui/resource.js";
import { table } from "../../ui/table.js";

/** @typedef {{check: string, state: "ok" | "warning" | "problem" | "skipped", what: string, help: string}} Finding */

const BADGES = {
  ok: "badge good",
  warning: "badge warning",
  problem: "badge error",
  skipped: "badge",
};
const WORST = ["problem", "warning", "skipped", "ok"];

export function examination() {
  const found = signal(/** @type {Finding[] | null} */ (null));
  const problem = signal(/** @type {unknown} */ (null));
  const busy = signal(false);

  async function examine() {
    busy.value = true;
    problem.value = null;
    try {
      found.value = (await get("v1/doctor")).findings;
    } catch (error) {
      problem.value = error;
    }
    busy.value = false;
  }

  return h(
    "section",
    { class: "card stack", "aria-labelledby": "doctor" },
    h(
      "div",
      { class: "row apart" },
      h("h2", { id: "doctor" }, "Doctor"),
      button("Examine the service", {
        icon: "gauge",
        disabled: () => busy.value,
        onclick: examine,
      }),
    ),
    () => {
      if (busy.value) return loading();
      if (problem.value) return problemNotice(problem.value);
      return found.value ? findings(found.value) : h("p", { class: "muted" }, ABOUT);
    },
  );
}

const ABOUT =
  "Checks what the service stands on: its settings, database, storage, queue, workers, memory and disks. It takes some seconds and changes nothing.";

/** @param {readonly Finding[]} found */
function findings(found) {
  const sorted = [...found].sort((a, b) => WORST.indexOf(a.state) - WORST.indexOf(b.state));
  const wrong = found.filter(({ state }) => state === "problem" || state === "warning");
  return [
    wrong.length ? null : notice("good", null, "Nothing is wrong."),
    table(
      "What the doctor says",
      ["Checked", "Result", "Finding"],
      sorted.map(({ check, state, what, help }) => [
        check,
        h("span", { class: BADGES[state] }, state),
        [what, help ? h("p", { class: "small muted" }, help) : null],
      ]),
    ),
  ];
}
