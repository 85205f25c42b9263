// What the screen knows: the images that wait, their classes, and what the classifier knows already.

import { Problem } from "../api/problem.js";
import { layout } from "../api/uploads.js";
import { batch, computed, signal } from "../lib/signals.js";
import { isImage, mayBeImage } from "../media/files.js";
import { hashOf } from "../media/hashing.js";
import { announce } from "../ui/announce.js";
import { count } from "../lib/format.js";
import * as staging from "./staging.js";

/** @typedef {import("./staging.js").Item} Item */
/** @typedef {import("../media/files.js").Entry} Entry */

const ORDER = new Intl.Collator(undefined, { numeric: true });

// What a browser shows, unless it is damaged.
const SHOWN = /\.(jpe?g|jpe|jfif|png|webp|bmp|gif)$/i;
// Files that may say of which class others are, and as many bytes of one as are looked into.
const MANIFEST = /\.(csv|tsv|jsonl?|ndjson|cls)$/i;
const LARGEST_MANIFEST = 32_000_000;
const NO_IMAGE = "not an image, by its name";

/**
 * Returns what the service is asked about a file.
 * @param {Entry} entry
 */
async function asked({ path, size, read }) {
  if (!MANIFEST.test(path) || size > LARGEST_MANIFEST) return { name: path };
  return { name: path, text: await (await read()).text() };
}

/** @param {string} detail */
function nothingIn(detail) {
  return new Problem({ status: 422, code: "no-images", title: "No image was added", detail });
}

/** The images that wait to be sent. */
export class Staged {
  #made = 0;
  /** @type {Set<string>} */
  #ids = new Set();
  /** @type {Map<string, string>} the key of each class's card, by label; a renamed class keeps its card */
  #keys = new Map();

  constructor() {
    /** Labels that the classifier knows. */
    this.known = signal(/** @type {readonly string[]} */ ([]));
    /** Images that the browser cannot show, although it knows their format. */
    this.broken = signal(/** @type {ReadonlySet<string>} */ (new Set()));
    this.items = signal(/** @type {readonly Item[]} */ ([]));
    /** Files that were not taken, with the reason. */
    this.leftOut = signal(/** @type {readonly {name: string, reason: string}[]} */ ([]));
    this.groups = computed(() =>
      staging.groups(this.items.value).map((group) => ({ ...group, key: this.#key(group.label) })),
    );
    this.warnings = computed(() =>
      staging.warnings(this.items.value, this.known.value, this.broken.value),
    );
  }

  /** @param {string} label */
  #key(label) {
    const key = this.#keys.get(label) ?? `class-${++this.#made}`;
    this.#keys.set(label, key);
    return key;
  }

  /**
   * Takes files, each under the class that its folder or a manifest names. Rejects with a Problem.
   * @param {readonly Entry[]} given
   */
  async addFolders(given) {
    if (!given.length) throw nothingIn("The folder is empty.");
    // Folders come in any order.
    const entries = given.toSorted((a, b) => ORDER.compare(a.path, b.path));
    const asking = await Promise.all(entries.map(asked));
    const { places, missing, problem } = await layout(asking);
    const loose = staging.freeLabel([
      ...this.known.peek(),
      ...this.groups.peek().map(({ label }) => label),
    ]);
    /** @type {Item[]} */
    const items = [];
    const leftOut = [...missing];
    entries.forEach((entry, index) => {
      const place = places[index];
      const single = !entry.path.includes("/");
      if (place?.label && !mayBeImage(entry.path))
        leftOut.push({ name: entry.path, reason: NO_IMAGE });
      else if (place?.label) items.push(this.#item(entry, place.label, place));
      else if (single && isImage(entry.path)) items.push(this.#item(entry, loose));
      else if (single) leftOut.push({ name: entry.path, reason: NO_IMAGE });
      else if (place?.reason) leftOut.push({ name: entry.path, reason: place.reason });
    });
    this.#add(items, leftOut);
    if (!items.length && problem) throw nothingIn(problem);
  }

  /**
   * Takes files under one class, whatever folders they are in.
   * @param {readonly Entry[]} entries
   * @param {string} label
   */
  addTo(entries, label) {
    const images = entries.filter(({ path }) => isImage(path));
    const others = entries.filter((entry) => !images.includes(entry));
    this.#add(
      images.map((entry) => this.#item(entry, label)),
      others.map(({ path }) => ({ name: path, reason: NO_IMAGE })),
    );
  }

  /**
   * @param {Entry} entry
   * @param {string} label
   * @param {{split: "train" | "test" | null, group: string | null}} [place]
   * @returns {Item}
   */
  #item({ path, size, read }, label, { split, group } = { split: null, group: null }) {
    return { id: this.#id(path), name: path, label, split, group, size, read, hash: null };
  }

  /**
   * Returns the name that a file is sent under, which no other one has.
   * @param {string} path
   */
  #id(path) {
    let id = path;
    for (let number = 2; this.#ids.has(id); number += 1) id = `${number}/${path}`;
    this.#ids.add(id);
    return id;
  }

  /**
   * @param {Item[]} items
   * @param {{name: string, reason: string}[]} leftOut
   */
  #add(items, leftOut) {
    batch(() => {
      this.items.value = [...this.items.peek(), ...items];
      this.leftOut.value = leftOut;
    });
    if (items.length) announce(`${count(items.length, "image")} added.`);
    void this.#hash(items);
  }

  /**
   * Finds images that are there twice.
   * @param {readonly Item[]} items
   */
  async #hash(items) {
    /** @type {Map<string, string>} */
    const hashes = new Map();
    for (const item of items) {
      const hash = await item
        .read()
        .then(hashOf)
        .catch(() => null);
      if (hash !== null) hashes.set(item.id, hash);
    }
    const before = this.items.peek();
    const known = before.map((item) => ({ ...item, hash: hashes.get(item.id) ?? item.hash }));
    const left = staging.withoutRepeats(known);
    this.items.value = left;
    const twice = known.length - left.length;
    if (twice) announce(`${count(twice, "image")} left out: already there in the same class.`);
  }

  /**
   * @param {string} from
   * @param {string} to
   */
  rename(from, to) {
    const label = staging.cleanLabel(to);
    if (!label || label === from) return;
    if (this.#keys.has(label)) announce(`${from} is now part of ${label}.`);
    else this.#keys.set(label, this.#key(from));
    this.#keys.delete(from);
    this.items.value = staging.withoutRepeats(staging.rename(this.items.peek(), from, label));
  }

  /**
   * @param {ReadonlySet<string>} ids
   * @param {string} to
   */
  move(ids, to) {
    this.items.value = staging.withoutRepeats(staging.move(this.items.peek(), ids, to));
    announce(`${count(ids.size, "image")} moved to ${staging.cleanLabel(to)}.`);
  }

  /** @param {ReadonlySet<string>} ids */
  leaveOut(ids) {
    this.items.value = staging.leaveOut(this.items.peek(), ids);
    announce(`${count(ids.size, "image")} left out.`);
  }

  /**
   * Notes that an image could not be shown.
   * @param {Item} item
   */
  cannotShow({ id, name }) {
    if (SHOWN.test(name)) this.broken.value = new Set([...this.broken.peek(), id]);
  }

  /** Forgets the images, which have been sent. */
  clear() {
    batch(() => {
      this.items.value = [];
      this.leftOut.value = [];
    });
  }
}
