import assert from "node:assert/strict";
import { test } from "node:test";
import { gridOf, rowsSeen } from "../../../app/web/page/lib/rows.js";
import { linear, lowestShown, ticks } from "../../../app/web/page/lib/scale.js";

test("values are mapped in proportion", () => {
  assert.equal(linear([0, 10], [100, 0])(2.5), 75);
  assert.equal(linear([3, 3], [5, 9])(3), 5);
});

test("an axis of shares leaves out what is below the lowest", () => {
  assert.equal(lowestShown([0.97, 0.94]), 0.8);
  assert.equal(lowestShown([0.02]), 0);
  assert.equal(lowestShown([1, 1]), 0.9);
});

test("ticks are round", () => {
  assert.deepEqual(ticks(0.8, 1, 4), [0.8, 0.85, 0.9, 0.95, 1]);
  assert.deepEqual(ticks(0, 1, 4), [0, 0.5, 1]);
});

test("a grid fills its width", () => {
  assert.deepEqual(gridOf(300, 100, 10, 7), { columns: 2, rows: 4, size: 145 });
  assert.equal(gridOf(50, 100, 10, 7).columns, 1);
});

test("of very many rows few are on the screen", () => {
  assert.deepEqual(rowsSeen(0, 900, 100, 20_000), [0, 12]);
  assert.deepEqual(rowsSeen(1_000_000, 900, 100, 20_000), [9997, 10_012]);
  assert.deepEqual(rowsSeen(1_999_500, 900, 100, 20_000), [19_992, 20_000]);
  assert.deepEqual(rowsSeen(-5000, 900, 100, 20_000), [0, 0]);
});
