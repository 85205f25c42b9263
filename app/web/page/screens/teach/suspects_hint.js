// How many labels of what was learnt look wrong, with the way to decide them.

import { get, path } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { count } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { linkButton } from "../../ui/button.js";
import { notice } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";

const MOST = 100;

/**
 * @param {string} name of the classifier
 * @param {number} number of the version
 */
export function suspectsHint(name, number) {
  const found = resource((signal) =>
    get(path`v1/classifiers/${name}/versions/${number}/suspects`, {
      query: { limit: MOST },
      signal,
    }),
  );
  return shown(
    found,
    ({ data, has_more: more }) =>
      data.length
        ? notice(
            "info",
            `${more ? "More than " : ""}${count(data.length, "image")} may have the wrong label`,
            h("p", null, "Wrong labels teach it wrong things. One key decides each."),
            linkButton(
              "Check them",
              link("/classifiers/:name/inside/:version", { name, version: `${number}` }),
              { icon: "eye" },
            ),
          )
        : null,
    () => null,
  );
}
