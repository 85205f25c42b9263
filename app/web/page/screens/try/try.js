// Trying a classifier: an image or the camera, and what it says.

import { get, path } from "../../api/client.js";
import { inShort, predict } from "../../api/predictions.js";
import { Problem } from "../../api/problem.js";
import { may } from "../../api/session.js";
import { each, h } from "../../lib/dom.js";
import { link } from "../../lib/router.js";
import { onEnd, signal, whileShown } from "../../lib/signals.js";
import { chosenFiles, mayBeImage } from "../../media/files.js";
import { fileThumbnail } from "../../media/thumbnails.js";
import { button, linkButton } from "../../ui/button.js";
import { hasCamera } from "../../ui/camera.js";
import { droppable, dropZone, fileButton } from "../../ui/drop_zone.js";
import { empty, problemNotice } from "../../ui/notice.js";
import { resource, shown } from "../../ui/resource.js";
import { codePanel } from "./code_panel.js";
import { live } from "./live.js";
import { tried } from "./tried.js";

/** @typedef {import("../../media/files.js").Entry} Entry */
/**
 * @typedef {object} Tried
 * @property {number} id
 * @property {string} name
 * @property {Blob} blob
 * @property {import("../../lib/signals.js").Signal<string>} said the answer, once it is there
 */

// How many images can be gone back to.
const KEPT = 24;

/** @type {import("../../screens.js").MakeScreen} */
export function screen({ params }) {
  const name = params.name ?? "";
  const classifier = resource((signal) => get(path`v1/classifiers/${name}`, { signal }));
  return shown(classifier, ({ live: version }) =>
    version === null ? nothingYet(name) : trying(name),
  );
}

/** @param {string} name */
function nothingYet(name) {
  const teach = may("train")
    ? linkButton("Teach it", link("/classifiers/:name/teach", { name }), {
        kind: "primary",
        icon: "upload",
      })
    : null;
  return empty(
    "spark",
    "It knows nothing yet",
    "Teach it some classes first, then try it here.",
    teach,
  );
}

/** @param {string} name */
function trying(name) {
  const images = signal(/** @type {readonly Tried[]} */ ([]));
  const shownImage = signal(/** @type {Tried | null} */ (null));
  const watching = signal(false);
  const problem = signal(/** @type {unknown} */ (null));
  const failed = (/** @type {unknown} */ error) => (problem.value = error);
  const here = whileShown();
  let made = 0;

  /** @param {Entry[]} entries */
  async function take(entries) {
    const pictures = entries.filter(({ path: file }) => mayBeImage(file));
    problem.value = pictures.length < entries.length ? noImages(entries, pictures) : null;
    if (!pictures.length) return;
    watching.value = false;
    const added = await Promise.all(
      pictures.slice(0, KEPT).map(async ({ path: file, read }) => ({
        id: ++made,
        name: file,
        blob: await read(),
        said: signal(""),
      })),
    );
    images.value = [...added, ...images.peek()].slice(0, KEPT);
    shownImage.value = added[0] ?? null;
    for (const image of added.slice(1)) await hear(image);
  }

  /**
   * Writes the answer under the small picture. One that is not answered is asked about when it is opened.
   * @param {Tried} image
   */
  async function hear({ blob, said }) {
    const found = await predict(name, blob, { signal: here }).catch(() => null);
    if (found) said.value = inShort(found);
  }

  const place = h(
    "div",
    { class: "stack" },
    () => zone(shownImage.value === null && !watching.value),
    () => (problem.value ? problemNotice(problem.value) : null),
    () => {
      if (watching.value) return live(name);
      return shownImage.value ? tried(name, shownImage.value) : null;
    },
    () => (images.value.length > 1 ? strip() : null),
    codePanel(name),
  );
  droppable(place, take, failed);
  takePasted(take, failed);
  return place;

  /** @param {boolean} large */
  function zone(large) {
    return dropZone(
      large ? "What is it?" : "Try another",
      large
        ? `Drop or paste an image here to see what ${name} says.`
        : "Drop or paste one or more images.",
      {
        symbol: "image",
        large,
        buttons: [
          fileButton("Choose images", {
            take,
            failed,
            look: { icon: "image", kind: large ? "primary" : undefined },
          }),
          hasCamera() ? cameraButton : null,
        ],
      },
    );
  }

  function cameraButton() {
    return button(watching.value ? "Stop the camera" : "Use the camera", {
      icon: watching.value ? "stop" : "camera",
      onclick: () => (watching.value = !watching.peek()),
    });
  }

  function strip() {
    return h(
      "div",
      { class: "tried-strip", role: "group", "aria-label": "Images that were tried" },
      each(
        () => images.value,
        ({ id }) => id,
        (image) =>
          h(
            "button",
            {
              type: "button",
              class: "thumb choice",
              "aria-label": () => [image.name, image.said.value].filter(Boolean).join(": "),
              "aria-pressed": () => String(shownImage.value === image),
              onclick: () => (shownImage.value = image),
            },
            fileThumbnail(async () => image.blob, { alt: "" }),
            () =>
              image.said.value ? h("span", { class: "tried-label cut" }, image.said.value) : null,
          ),
      ),
    );
  }
}

/**
 * @param {readonly Entry[]} given
 * @param {readonly Entry[]} pictures
 */
function noImages(given, pictures) {
  const others = given.filter((entry) => !pictures.includes(entry)).map(({ path: file }) => file);
  const detail = `Not an image, by its name: ${others.slice(0, 5).join(", ")}.`;
  return new Problem({ status: 422, code: "no-images", title: "Not tried", detail });
}

/**
 * Takes images from the clipboard, as long as the screen is shown.
 * @param {(entries: Entry[]) => unknown} take
 * @param {(error: unknown) => void} failed
 */
function takePasted(take, failed) {
  /** @param {ClipboardEvent} event */
  function paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) chosenFiles(files).then(take).catch(failed);
  }
  addEventListener("paste", paste);
  onEnd(() => removeEventListener("paste", paste));
}
