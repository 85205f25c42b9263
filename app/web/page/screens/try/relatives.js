// Images of the class that was answered, to compare with.

import { get, path } from "../../api/client.js";
import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { resource, shown } from "../../ui/resource.js";
import { storedImage } from "../../ui/stored_image.js";

const SHOWN = 6;

/**
 * Shows what the version keeps of a class: exemplars where its method has them, else held-out images.
 * @param {string} classifier
 * @param {number} version
 * @param {string} label
 */
export function relatives(classifier, version, label) {
  if (!may("train")) return null;
  const found = resource(async (signal) => {
    const of = path`v1/classifiers/${classifier}/versions/${version}`;
    const query = { label, limit: SHOWN };
    const remembered = await get(`${of}/exemplars`, { query, signal });
    if (remembered.data.length) return { kind: "remembers", images: remembered.data };
    const heldOut = await get(`${of}/held-out`, { query: { ...query, wrong: false }, signal });
    return { kind: "was measured on", images: heldOut.data };
  });
  return shown(
    found,
    ({ kind, images }) =>
      images.length
        ? h(
            "div",
            { class: "stack tight" },
            h("h3", null, `Images of ${label} that it ${kind}`),
            h(
              "ul",
              { class: "relatives" },
              images.map((/** @type {{sha256: string}} */ { sha256 }) =>
                h("li", { class: "thumb" }, storedImage(sha256, { alt: label })),
              ),
            ),
          )
        : null,
    () => null,
  );
}
