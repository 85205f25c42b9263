// Small pictures of files of this machine. A few are made at a time, only of what is about to be seen.

import { h } from "../lib/dom.js";
import { onEnd } from "../lib/signals.js";

const AT_ONCE = 4;
let busy = 0;
/** @type {(() => Promise<void>)[]} */
const waiting = [];

/**
 * Shows a small picture of a file, made when it comes near.
 * @param {() => Promise<Blob>} read
 * @param {{alt: string, side?: number, failed?: () => void}} options `failed` is called where it
 * cannot be shown
 */
export function fileThumbnail(read, { alt, side = 192, failed }) {
  const name = alt ? { role: "img", "aria-label": alt } : { "aria-hidden": "true" };
  const canvas = h("canvas", { ...name, class: "stored", width: 1, height: 1 });
  let gone = false;
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    queue(async () => {
      if (gone) return;
      try {
        await draw(canvas, await read(), side);
      } catch {
        canvas.classList.add("missing");
        failed?.();
      }
    });
  });
  observer.observe(canvas);
  onEnd(() => {
    gone = true;
    observer.disconnect();
  });
  return canvas;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Blob} file
 * @param {number} side of the square that the picture covers
 */
async function draw(canvas, file, side) {
  const image = await createImageBitmap(file);
  const scale = Math.min(1, side / Math.min(image.width, image.height));
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const context = canvas.getContext("2d");
  if (context) {
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
  }
  image.close();
}

/** @param {() => Promise<void>} work */
function queue(work) {
  waiting.push(work);
  next();
}

function next() {
  if (busy >= AT_ONCE) return;
  const work = waiting.shift();
  if (!work) return;
  busy += 1;
  void work().finally(() => {
    busy -= 1;
    next();
  });
}
