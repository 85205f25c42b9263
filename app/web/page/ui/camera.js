// Pictures from the camera.

import { h } from "../lib/dom.js";
import { onEnd, signal } from "../lib/signals.js";
import { notice } from "./notice.js";

/** Whether this browser gives the page a camera: on secure pages only. */
export const hasCamera = () => Boolean(navigator.mediaDevices?.getUserMedia);

/**
 * Shows what the camera sees, while the scope lasts.
 * @returns {{element: Element, take: () => Promise<Blob | null>, ready: import("../lib/signals.js").Signal<boolean>}}
 *   `take` gives the picture of now
 */
export function camera() {
  const ready = signal(false);
  const refused = signal("");
  const video = h("video", {
    class: "camera",
    muted: true,
    playsinline: true,
    "aria-label": "What the camera sees",
  });
  video.muted = true;
  /** @type {MediaStream | null} */
  let stream = null;
  let ended = false;
  onEnd(() => {
    ended = true;
    stream?.getTracks().forEach((track) => track.stop());
  });
  void (async () => {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (ended) return stream.getTracks().forEach((track) => track.stop());
      video.srcObject = stream;
      await video.play();
      ready.value = true;
    } catch {
      refused.value = "Allow the page to use it in the browser's settings, or choose image files.";
    }
  })();
  const element = h("div", { class: "stack" }, () =>
    refused.value ? notice("error", "There is no picture of the camera", refused.value) : video,
  );
  return { element, ready, take: () => picture(video) };
}

/**
 * @param {HTMLVideoElement} video
 * @returns {Promise<Blob | null>}
 */
function picture(video) {
  const canvas = h("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
}
