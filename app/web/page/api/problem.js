// What went wrong with a request: the service's problem document, or that it could not be reached.

/** A request that failed, with what the service says of it. */
export class Problem extends Error {
  /**
   * @param {object} given
   * @param {number} given.status 0 where there was no answer
   * @param {string} given.code
   * @param {string} given.title
   * @param {string} given.detail
   * @param {{pointer: string, detail: string}[]} [given.errors]
   * @param {number | null} [given.retryAfter] in seconds
   */
  constructor({ status, code, title, detail, errors = [], retryAfter = null }) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.title = title;
    this.detail = detail;
    this.errors = errors;
    this.retryAfter = retryAfter;
  }
}

/**
 * Says whether the same request may succeed later.
 * @param {unknown} error
 */
export function mayPass(error) {
  if (!(error instanceof Problem)) return false;
  const { status } = error;
  return status === 0 || status === 408 || status === 409 || status === 429 || status >= 500;
}

/** @returns {Problem} */
export function unreachable() {
  return new Problem({
    status: 0,
    code: "unreachable",
    title: "The service does not answer",
    detail: "Check that it runs and that this machine is connected, then try again.",
  });
}

/**
 * Reads the problem document of an answer.
 * @param {Response} answer
 * @returns {Promise<Problem>}
 */
export async function problemOf(answer) {
  const text = await answer.text().catch(() => "");
  return parsed(text, answer.status, answer.headers.get("Retry-After"));
}

/**
 * Returns the problem that a body describes; one of a proxy in between may be of any form.
 * @param {string} text
 * @param {number} status
 * @param {string | null} retryAfter
 * @returns {Problem}
 */
export function parsed(text, status, retryAfter = null) {
  /** @type {any} */
  let found = {};
  try {
    found = JSON.parse(text) ?? {};
  } catch {
    // Not a problem document: its status has to do.
  }
  return new Problem({
    status,
    code: String(found.code ?? "no-problem-document"),
    title: String(found.title ?? `The answer was ${status}`),
    detail: String(found.detail ?? "The service, or a proxy before it, gave no reason."),
    errors: Array.isArray(found.errors) ? found.errors : [],
    retryAfter: retryAfter === null ? null : Number(retryAfter) || null,
  });
}

/**
 * Says whether an error is that the request was given up on purpose.
 * @param {unknown} error
 */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}
