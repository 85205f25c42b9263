// Images that the service stores, small or whole. With a key, an `img` cannot ask for them: they are
// fetched, and the newest stay in memory.

import { path, send, url } from "../api/client.js";
import { key } from "../api/session.js";
import { h } from "../lib/dom.js";
import { whileShown } from "../lib/signals.js";

const KEPT = 2000;
/** @type {Map<string, Promise<string>>} */
const fetched = new Map();

/**
 * Shows a stored image, loaded when it is about to be seen.
 * @param {string} sha256
 * @param {{alt: string, width?: number}} options `width` in pixels, of a thumbnail
 */
export function storedImage(sha256, { alt, width = 192 }) {
  const from = path`v1/images/${sha256}`;
  const image = h("img", { alt, loading: "lazy", decoding: "async", class: "stored" });
  image.addEventListener("error", () => image.classList.add("missing"));
  if (key.peek() === null) image.src = url(from, { width });
  else whenNear(image, () => void fetchInto(image, from, width));
  return image;
}

/**
 * @param {HTMLImageElement} image
 * @param {string} from
 * @param {number} width
 */
async function fetchInto(image, from, width) {
  const name = `${from} ${width}`;
  const found = fetched.get(name) ?? load(from, width);
  // The newest last, so that the oldest goes first.
  fetched.delete(name);
  fetched.set(name, found);
  try {
    image.src = await found;
  } catch {
    fetched.delete(name);
    image.classList.add("missing");
  }
  for (const [old, address] of fetched) {
    if (fetched.size <= KEPT) break;
    fetched.delete(old);
    void address.then(URL.revokeObjectURL, () => {});
  }
}

/**
 * @param {string} from
 * @param {number} width
 */
async function load(from, width) {
  const answer = await send("GET", from, { query: { width } });
  return URL.createObjectURL(await answer.blob());
}

/**
 * @param {Element} element
 * @param {() => void} action
 */
function whenNear(element, action) {
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      action();
    },
    { rootMargin: "200px" },
  );
  observer.observe(element);
  whileShown().addEventListener("abort", () => observer.disconnect());
}
