// Following a job: an answer at each of its changes, until it has ended.

import { get, path, post, send, sleep } from "./client.js";

/** @typedef {import("./types.js").Job} Job */

const ENDED = new Set(["succeeded", "failed", "cancelled"]);
const WAIT = 30;
// How soon a change is asked about again, so that a fast job does not cost a request each moment.
const PAUSE = 0.25;

/** @param {Job} job */
export function ended(job) {
  return ENDED.has(job.state);
}

/**
 * Calls `seen` with a job now and at each change, and resolves with it when it has ended. Rejects
 * with a Problem, or when `signal` fires.
 * @param {string} id
 * @param {(job: Job) => void} seen
 * @param {AbortSignal} signal
 * @returns {Promise<Job>}
 */
export async function follow(id, seen, signal) {
  const from = path`v1/jobs/${id}`;
  let answer = await send("GET", from, { signal });
  for (;;) {
    /** @type {Job} */
    const job = await answer.json();
    const tag = answer.headers.get("ETag") ?? "";
    seen(job);
    if (ended(job)) return job;
    do {
      await sleep(PAUSE, signal);
      const headers = { "If-None-Match": tag };
      answer = await send("GET", from, { query: { wait: WAIT }, headers, signal });
    } while (answer.status === 304);
  }
}

/**
 * Returns what happened in a job after an event, oldest first.
 * @param {string} id
 * @param {number} after `seq` of the last event that is known, 0 for none
 * @param {AbortSignal} [signal]
 * @returns {Promise<import("./types.js").JobEvent[]>}
 */
export async function eventsAfter(id, after, signal) {
  const page = await get(path`v1/jobs/${id}/events`, { query: { after, limit: 1000 }, signal });
  return page.data;
}

/**
 * @param {string} id
 * @returns {Promise<Job>}
 */
export function cancel(id) {
  return post(path`v1/jobs/${id}/cancel`, undefined);
}

/**
 * @param {string} id
 * @returns {Promise<Job>}
 */
export function retry(id) {
  return post(path`v1/jobs/${id}/retry`, undefined);
}
