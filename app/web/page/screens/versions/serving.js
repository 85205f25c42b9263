// Which version is served: says what will change, and changes it with one click.

import { get, path } from "../../api/client.js";
import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { link } from "../../lib/router.js";
import { signal } from "../../lib/signals.js";
import { announce } from "../../ui/announce.js";
import { button, linkButton } from "../../ui/button.js";
import { problemNotice } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";
import { LIVE, move } from "./aliases.js";
import { changesBetween, points, some } from "./changes.js";

/** @typedef {import("../../api/types.js").Version} Version */

/**
 * @param {string} name
 * @param {Version} version
 * @param {() => Promise<void>} reload
 */
export function serving(name, version, reload) {
  const problem = signal(/** @type {unknown} */ (null));
  const live = resource(
    async (aborted) =>
      /** @type {Version} */ (
        await get(path`v1/classifiers/${name}/versions/${LIVE}`, { signal: aborted })
      ),
  );

  /** @param {Version} from */
  async function serve(from) {
    problem.value = null;
    try {
      await move(name, LIVE, version.number, from.number);
      announce(`Version ${version.number} is live.`);
      await reload();
    } catch (error) {
      problem.value = error;
    }
  }

  return h(
    "section",
    { class: "card stack", "aria-labelledby": "serving" },
    shown(live, (served) => [
      served.number === version.number ? isLive(name, version) : change(version, served, serve),
    ]),
    () => (problem.value ? problemNotice(problem.value) : null),
  );
}

/**
 * @param {string} name
 * @param {Version} version
 */
function isLive(name, { number, parent }) {
  const back = link("/classifiers/:name/versions/:version", { name, version: `${parent}` });
  return [
    h("h2", { id: "serving" }, "It is live"),
    h(
      "p",
      { class: "muted" },
      `Predictions come from version ${number}. To go back, open an older version and serve that.`,
    ),
    parent === null
      ? null
      : h(
          "div",
          null,
          linkButton(`See what version ${parent} would change`, back, { icon: "retry" }),
        ),
  ];
}

/**
 * @param {Version} version
 * @param {Version} served
 * @param {(from: Version) => void} serve
 */
function change(version, served, serve) {
  const back = version.number < served.number;
  const { gained, lost, accuracy } = changesBetween(served, version);
  return [
    h("h2", { id: "serving" }, back ? "Roll back to it" : "Serve it"),
    h(
      "ul",
      { class: "changes" },
      h(
        "li",
        null,
        `From now on version ${version.number} answers instead of version ${served.number}.`,
      ),
      gained.length ? h("li", null, `It tells apart ${some(gained)} too.`) : null,
      lost.length ? h("li", null, `It no longer knows ${some(lost)}.`) : null,
      accuracy === null ? null : h("li", null, `Accuracy: ${points(accuracy)}.`),
      h("li", null, "No request fails meanwhile, and you can change it back."),
    ),
    may("admin")
      ? h(
          "div",
          null,
          serveButton(version, back, () => serve(served)),
        )
      : h("p", { class: "small muted" }, "A key with the scope admin may do this."),
  ];
}

/**
 * @param {Version} version
 * @param {boolean} back
 * @param {() => void} onclick
 */
function serveButton({ number }, back, onclick) {
  const label = back ? `Roll back to version ${number}` : `Serve version ${number}`;
  return button(label, { kind: "primary", icon: back ? "retry" : "play", onclick });
}
