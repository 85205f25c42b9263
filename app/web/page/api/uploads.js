// Sending images in batches, so that a broken connection costs one, and people see how far it is.

import { path, post, send } from "./client.js";

/**
 * @typedef {object} Item
 * @property {string} id its name in the upload
 * @property {string} label of its class
 * @property {"train" | "test" | null} split null: learnt from
 * @property {string | null} group
 * @property {number} size in bytes
 * @property {() => Promise<Blob>} read
 */
/** @typedef {import("./types.js").Upload} Upload */

const BATCH_IMAGES = 24;
const BATCH_BYTES = 8_000_000;

/**
 * Divides images into batches: each of one split, with so many images and bytes at most.
 * @param {readonly Item[]} items
 * @returns {Item[][]}
 */
export function batches(items) {
  /** @type {Item[][]} */
  const made = [];
  for (const test of [false, true]) {
    /** @type {Item[]} */
    let batch = [];
    let size = 0;
    for (const item of items.filter(({ split }) => (split === "test") === test)) {
      if (batch.length === BATCH_IMAGES || (batch.length && size + item.size > BATCH_BYTES)) {
        made.push(batch);
        [batch, size] = [[], 0];
      }
      batch.push(item);
      size += item.size;
    }
    if (batch.length) made.push(batch);
  }
  return made;
}

/**
 * Sends a batch, and returns the upload as it is then. Rejects with a Problem.
 * @param {readonly Item[]} batch
 * @param {string | null} upload null for a new one
 * @param {AbortSignal} signal
 * @returns {Promise<Upload>}
 */
export async function sendBatch(batch, upload, signal) {
  const form = new FormData();
  /** @type {Record<string, {label: string, group: string | null}>} */
  const manifest = {};
  for (const { id, label, group } of batch) manifest[id] = { label, group };
  form.append("manifest", JSON.stringify(manifest));
  for (const item of batch) form.append("files", await item.read(), item.id);
  const to = upload === null ? "v1/uploads" : path`v1/uploads/${upload}/images`;
  const query = { split: batch[0]?.split === "test" ? "test" : null };
  const answer = await send("POST", to, { body: form, query, signal });
  return answer.json();
}

/**
 * @param {string} upload
 * @returns {Promise<void>}
 */
export async function discard(upload) {
  await send("DELETE", path`v1/uploads/${upload}`);
}

/** @typedef {{label: string | null, split: "train" | "test" | null, group: string | null, reason: string | null}} Place */

/**
 * Asks what files are taken for: the class of each, or why it is not taken. `text` is what is in those
 * that may say it of others. Rejects with a Problem.
 * @param {readonly {name: string, text?: string}[]} files
 * @returns {Promise<{places: Place[], missing: {name: string, reason: string}[], problem: string | null}>}
 */
export function layout(files) {
  return post("v1/uploads/layout", { files });
}
