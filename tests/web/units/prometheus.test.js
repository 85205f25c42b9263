import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMetrics, total } from "../../../app/web/page/screens/operate/prometheus.js";

const TEXT = `# HELP accrue_workers Workers seen within the last minute.
# TYPE accrue_workers gauge
accrue_workers{device="cpu",queue="default"} 2.0
accrue_workers{device="cuda:0",queue="gpu"} 1.0
accrue_blob_bytes 8.87e+07
odd{path="a \\"b\\" \\\\ c, d=\\"e\\""} 3 1700000000
`;

test("metrics are read with their labels", () => {
  const metrics = parseMetrics(TEXT);
  assert.deepEqual([...metrics.keys()], ["accrue_workers", "accrue_blob_bytes", "odd"]);
  assert.equal(metrics.get("odd")?.[0]?.labels.path, 'a "b" \\ c, d="e"');
  assert.equal(metrics.get("odd")?.[0]?.value, 3);
});

test("samples are added by their labels", () => {
  const metrics = parseMetrics(TEXT);
  assert.equal(total(metrics, "accrue_workers"), 3);
  assert.equal(total(metrics, "accrue_workers", { queue: "gpu" }), 1);
  assert.equal(total(metrics, "accrue_blob_bytes"), 88_700_000);
  assert.equal(total(metrics, "accrue_workers", { queue: "none" }), null);
  assert.equal(total(metrics, "none"), null);
});
