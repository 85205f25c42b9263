// Stored images of the class that was answered: those that look most like the tried one.

import { path, send } from "../../api/client.js";
import { may } from "../../api/session.js";
import { h } from "../../lib/dom.js";
import { percent } from "../../lib/format.js";
import { resource, shown } from "../../ui/resource.js";
import { storedImage } from "../../ui/stored_image.js";

/** @typedef {{sha256: string, similarity: number}} Similar */

/**
 * @param {string} classifier
 * @param {number} version
 * @param {string} label
 * @param {Blob} image
 */
export function relatives(classifier, version, label, image) {
  if (!may("train")) return null;
  const found = resource(async (signal) => {
    const to = path`v1/classifiers/${classifier}/versions/${version}/similar`;
    const headers = { "Content-Type": "application/octet-stream" };
    const answer = await send("POST", to, { body: image, query: { label }, headers, signal });
    return /** @type {Similar[]} */ ((await answer.json()).data);
  });
  return shown(
    found,
    (images) =>
      images.length
        ? h(
            "div",
            { class: "stack tight" },
            h("h3", null, `Images of ${label} that look most like it`),
            h(
              "ul",
              { class: "relatives" },
              images.map(({ sha256, similarity }) =>
                h(
                  "li",
                  { class: "thumb", title: `${percent(similarity, 0)} alike` },
                  storedImage(sha256, { alt: `${label}, ${percent(similarity, 0)} alike` }),
                ),
              ),
            ),
          )
        : null,
    () => h("p", { class: "muted small" }, "Looking for images that look like it…"),
  );
}
