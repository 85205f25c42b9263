// Files that were given and are not taken, with the reason.

import { h } from "../../lib/dom.js";
import { count } from "../../lib/format.js";
import { button } from "../../ui/button.js";
import { notice } from "../../ui/notice.js";

const LISTED = 100;

/** @param {import("../../staged/state.js").Staged} staged */
export function leftOutNotice(staged) {
  return () => {
    const files = staged.leftOut.value;
    if (!files.length) return null;
    return notice(
      "warning",
      `${count(files.length, "file")} not taken`,
      h(
        "details",
        null,
        h("summary", null, "Which, and why"),
        h(
          "ul",
          null,
          files.slice(0, LISTED).map(({ name, reason }) => h("li", null, `${name}: ${reason}`)),
        ),
      ),
      button("Dismiss", {
        icon: "close",
        kind: "quiet",
        alone: true,
        onclick: () => (staged.leftOut.value = []),
      }),
    );
  };
}
