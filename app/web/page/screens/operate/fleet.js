// Workers, queue, predictions and storage, from the service's metrics.

import { send } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { bytes, count, duration } from "../../lib/format.js";
import { notice } from "../../ui/notice.js";
import { loading, resource, shown } from "../../ui/resource.js";
import { repeat } from "../../ui/repeat.js";
import { tiles } from "../../ui/tiles.js";
import { parseMetrics, total } from "./prometheus.js";

/** @typedef {import("./prometheus.js").Metrics} Metrics */

const SECONDS = 10;

export function fleet() {
  const metrics = resource(async (signal) =>
    parseMetrics(await (await send("GET", "metrics", { signal })).text()),
  );
  repeat(metrics.reload, SECONDS);
  return h(
    "section",
    { class: "stack", "aria-labelledby": "fleet" },
    h("h2", { id: "fleet" }, "Workers, queue and storage"),
    shown(metrics, (found) => [warnings(found), figures(found)], loading),
  );
}

/** @param {Metrics} metrics */
function figures(metrics) {
  const workers = (metrics.get("accrue_workers") ?? []).map(
    ({ labels, value }) => `${value} on ${labels.device} for ${labels.queue}`,
  );
  const waiting = total(metrics, "accrue_waiting_jobs") ?? 0;
  const oldest = Math.max(
    0,
    ...(metrics.get("accrue_oldest_waiting_job_seconds") ?? []).map(({ value }) => value),
  );
  const free = total(metrics, "accrue_disk_free_bytes", { folder: "storage" });
  const predicted = total(metrics, "accrue_predict_images_total", { outcome: "predicted" }) ?? 0;
  const images = total(metrics, "accrue_predict_batch_images_sum") ?? 0;
  const seconds = total(metrics, "accrue_predict_infer_seconds_sum") ?? 0;
  const memory = total(metrics, "accrue_model_memory_bytes") ?? 0;
  return tiles([
    ["Workers", `${devices(metrics)}`, workers.join(", ") || "none was seen in the last minute"],
    [
      "Waiting jobs",
      `${waiting}`,
      waiting ? `the oldest for ${duration(oldest)}` : "the queue is empty",
    ],
    [
      "Storage",
      bytes(total(metrics, "accrue_blob_bytes") ?? 0),
      free === null ? "stored" : `${bytes(free)} are free`,
    ],
    [
      "Predictions",
      predicted.toLocaleString("en"),
      images ? `${Math.round((1000 * seconds) / images)} ms of network each` : "since the start",
    ],
    [
      "Loaded versions",
      `${total(metrics, "accrue_loaded_versions") ?? 0}`,
      `${bytes(memory)} of memory`,
    ],
    [
      "Classifiers",
      `${total(metrics, "accrue_classifiers") ?? 0}`,
      count(total(metrics, "accrue_versions") ?? 0, "version"),
    ],
  ]);
}

/**
 * Counts workers: one that serves two queues is in the metrics of both.
 * @param {Metrics} metrics
 */
function devices(metrics) {
  /** @type {Map<string, number>} */
  const most = new Map();
  for (const { labels, value } of metrics.get("accrue_workers") ?? []) {
    const device = labels.device ?? "";
    most.set(device, Math.max(most.get(device) ?? 0, value));
  }
  return [...most.values()].reduce((sum, value) => sum + value, 0);
}

/** @param {Metrics} metrics */
function warnings(metrics) {
  const none = devices(metrics) === 0;
  const waiting = total(metrics, "accrue_waiting_jobs") ?? 0;
  const expired = total(metrics, "accrue_expired_leases") ?? 0;
  const undeleted = total(metrics, "accrue_undeleted_blobs") ?? 0;
  const failed = total(metrics, "accrue_webhook_deliveries", { state: "failed" }) ?? 0;
  return [
    none && waiting
      ? notice("warning", "Jobs wait, and no worker runs", "Start one with accrue worker.")
      : null,
    expired
      ? notice(
          "warning",
          null,
          `${count(expired, "job")} lost their worker, and are tried again by another one.`,
        )
      : null,
    undeleted
      ? notice(
          "warning",
          null,
          `The last sweep could not delete ${count(undeleted, "unneeded file")}. accrue doctor says why.`,
        )
      : null,
    failed
      ? notice("warning", null, `${count(failed, "notification")} to webhooks could not be sent.`)
      : null,
  ];
}
