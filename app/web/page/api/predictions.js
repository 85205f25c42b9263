// Asking what an image shows.

import { path, send } from "./client.js";

/**
 * @typedef {object} Prediction
 * @property {string} label
 * @property {number} score
 * @property {boolean | null} known
 * @property {string} [known_why]
 * @property {{label: string, score: number}[]} ranked
 * @property {string | null} [heat_map] a PNG in base64
 */

/** @typedef {Prediction & {version: number}} Answer */

/**
 * Asks a classifier about an image. Rejects with a Problem.
 * @param {string} classifier
 * @param {Blob} image
 * @param {{explain?: boolean, version?: number, signal?: AbortSignal}} [options] `explain` asks for
 * a heat map; without a version, the live one answers
 * @returns {Promise<Answer>}
 */
export async function predict(classifier, image, { explain = false, version, signal } = {}) {
  const answer = await send("POST", path`v1/classifiers/${classifier}/predict`, {
    body: image,
    query: { explain: explain || null, version },
    headers: { "Content-Type": "application/octet-stream" },
    signal,
  });
  const { version: answering, results } = await answer.json();
  return { ...results[0], version: answering };
}

/** @param {Prediction} prediction */
export function inShort({ known, label }) {
  return known === false ? "unknown" : label;
}

/**
 * Returns a picture that came as base64.
 * @param {string} text
 */
export function pictureOf(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}
