import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, bytes, count, duration, percent } from "../../../app/web/page/lib/format.js";

test("shares", () => {
  assert.equal(percent(0.9751), "97.5 %");
  assert.equal(percent(1), "100 %");
  assert.equal(percent(0.5, 0), "50 %");
  assert.equal(percent(null), "–");
});

test("numbers with their unit", () => {
  assert.equal(count(1, "image"), "1 image");
  assert.equal(count(2000, "image"), "2,000 images");
  assert.equal(count(2, "class", "classes"), "2 classes");
});

test("sizes and times", () => {
  assert.equal(bytes(999), "999 bytes");
  assert.equal(bytes(3_400_000), "3.4 MB");
  assert.equal(bytes(340_000_000), "340 MB");
  assert.equal(duration(0.2), "1 s");
  assert.equal(duration(179), "3 min");
  assert.equal(duration(7500), "2 h 5 min");
});

test("how long ago", () => {
  const now = Date.parse("2026-01-02T00:00:00Z");
  assert.equal(ago("2026-01-01T23:59:40Z", now), "just now");
  assert.equal(ago("2026-01-01T23:55:00Z", now), "5 minutes ago");
  assert.equal(ago("2025-12-30T00:00:00Z", now), "3 days ago");
});
