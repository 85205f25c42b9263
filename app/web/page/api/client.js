// Requests to the service: the key, problems as errors, and what is tried again.

import { key, keysOn, refused } from "./session.js";
import { isAbort, problemOf, unreachable } from "./problem.js";
import { back } from "./reach.js";

/**
 * @typedef {object} Options
 * @property {Record<string, string | number | boolean | null | undefined>} [query]
 * @property {unknown} [json] sent as JSON
 * @property {BodyInit} [body] sent as it is
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 */

// Seconds before each further try. A try is repeated only where that does no harm: a POST has an
// Idempotency-Key.
const PAUSES = [0.5, 1.5, 4];
const PASSING = new Set([429, 502, 503, 504]);

/**
 * Returns the URL of a path of the API.
 * @param {string} path like `v1/classifiers`
 * @param {Options["query"]} [query]
 */
export function url(path, query = {}) {
  const found = new URL(path, document.baseURI);
  found.hash = "";
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) found.searchParams.set(name, String(value));
  }
  return found.href;
}

/**
 * Fills the names of a path: `path\`v1/jobs/${id}\``.
 * @param {TemplateStringsArray} fixed
 * @param {...(string | number)} names
 */
export function path(fixed, ...names) {
  return String.raw({ raw: fixed }, ...names.map((name) => encodeURIComponent(name)));
}

/**
 * Sends a request and returns its answer. Rejects with a Problem. Where the service does not answer
 * at all, it waits until it does.
 * @param {string} method
 * @param {string} to
 * @param {Options} [options]
 * @returns {Promise<Response>}
 */
export async function send(method, to, options = {}) {
  const headers = new Headers(options.headers);
  let body = options.body;
  if (options.json !== undefined) {
    headers.set("Content-Type", "application/json");
    body = JSON.stringify(options.json);
  }
  if (method === "POST") headers.set("Idempotency-Key", unique());
  for (let tries = 0; ; tries += 1) {
    if (key.peek()) headers.set("Authorization", `Bearer ${key.peek()}`);
    try {
      return await once(method, url(to, options.query), { headers, body, signal: options.signal });
    } catch (error) {
      const problem = /** @type {import("./problem.js").Problem} */ (error);
      if (problem.status === 0) {
        await back(options.signal);
        tries -= 1;
        continue;
      }
      const pause = PAUSES[tries];
      const wait = problem.retryAfter ?? pause;
      if (isAbort(error) || !PASSING.has(problem.status) || pause === undefined || wait > 10)
        throw error;
      await sleep(wait, options.signal);
    }
  }
}

/**
 * @param {string} method
 * @param {string} to
 * @param {RequestInit} init
 * @returns {Promise<Response>}
 */
async function once(method, to, init) {
  let answer;
  try {
    answer = await fetch(to, { method, credentials: "omit", ...init });
  } catch (error) {
    throw isAbort(error) ? error : unreachable();
  }
  if (answer.ok || answer.status === 304) return answer;
  if (answer.status === 401) {
    keysOn.value = true;
    refused.value = true;
  }
  throw await problemOf(answer);
}

/**
 * Asks for JSON. Rejects with a Problem.
 * @param {string} from
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function get(from, options) {
  return (await send("GET", from, options)).json();
}

/**
 * Sends JSON and returns that of the answer. Rejects with a Problem.
 * @param {string} to
 * @param {unknown} json
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function post(to, json, options) {
  return read(await send("POST", to, { ...options, json }));
}

/** @param {Response} answer */
async function read(answer) {
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/**
 * Asks for all pages of a list, up to a number of items. Rejects with a Problem.
 * @template [T=any]
 * @param {string} from
 * @param {Options & {most?: number}} [options]
 * @returns {Promise<T[]>}
 */
export async function all(from, { most = Infinity, ...options } = {}) {
  /** @type {T[]} */
  const found = [];
  /** @type {string | null} */
  let after = null;
  do {
    /** @type {any} */
    const page = await get(from, { ...options, query: { ...options.query, after } });
    found.push(...page.data);
    after = page.has_more ? page.next : null;
  } while (after !== null && found.length < most);
  return found;
}

/**
 * Waits.
 * @param {number} seconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** Returns a text that is not used again. `crypto.randomUUID` wants a secure page. */
function unique() {
  const parts = crypto.getRandomValues(new Uint32Array(4));
  return [...parts].map((part) => part.toString(36)).join("-");
}
