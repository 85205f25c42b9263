// Sending what waits, batch by batch, then asking for a job with it.

import { isAbort } from "../api/problem.js";
import { batches, discard, sendBatch } from "../api/uploads.js";
import { signal } from "../lib/signals.js";

/** @typedef {import("./staging.js").Item} Item */
/** @typedef {import("../api/types.js").Upload} Upload */
/** @typedef {import("../api/types.js").Job} Job */

/** Images on their way. It can be paused, and cancelled as if nothing had been sent. */
export class Sending {
  #controller = new AbortController();
  /** @type {Upload | null} */
  #upload = null;
  #next = 0;

  #ask;

  /**
   * @param {readonly Item[]} items
   * @param {(upload: string) => Promise<Job>} ask asks for the job with an upload's images
   */
  constructor(items, ask) {
    this.#ask = ask;
    this.items = items;
    this.batches = batches(items);
    /** @type {import("../lib/signals.js").Signal<"sending" | "paused" | "failed" | "done">} */
    this.state = signal("sending");
    this.sent = signal(/** @type {ReadonlySet<string>} */ (new Set()));
    this.problem = signal(/** @type {unknown} */ (null));
  }

  /** What the service says of the images so far. */
  get upload() {
    return this.#upload;
  }

  /**
   * Sends what is left, and resolves with the job. Resolves with null where it was paused, cancelled
   * or has failed, which `state` says; `run` then goes on.
   * @returns {Promise<Job | null>}
   */
  async run() {
    this.state.value = "sending";
    this.problem.value = null;
    try {
      while (this.#next < this.batches.length) {
        if (this.state.peek() === "paused") return null;
        const batch = /** @type {Item[]} */ (this.batches[this.#next]);
        await this.#send(batch);
        this.#next += 1;
        this.sent.value = new Set([...this.sent.peek(), ...batch.map(({ id }) => id)]);
      }
      const job = await this.#ask(this.#upload?.id ?? "");
      this.state.value = "done";
      return job;
    } catch (error) {
      if (!isAbort(error)) {
        this.problem.value = error;
        this.state.value = "failed";
      }
      return null;
    }
  }

  /** @param {readonly Item[]} batch */
  async #send(batch) {
    try {
      this.#upload = await sendBatch(batch, this.#upload?.id ?? null, this.#controller.signal);
    } catch (error) {
      const unusable = /** @type {import("../api/problem.js").Problem} */ (error);
      const others = this.#upload !== null || this.#next + 1 < this.batches.length;
      // The images of other batches are learnt all the same.
      if (unusable.code !== "no-usable-images" || !others) throw error;
    }
  }

  pause() {
    this.state.value = "paused";
  }

  /** Stops, and has the service delete what it has got. */
  async cancel() {
    this.#controller.abort();
    if (this.#upload) await discard(this.#upload.id);
  }
}
