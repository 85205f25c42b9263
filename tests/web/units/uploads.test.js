import assert from "node:assert/strict";
import { before, test } from "node:test";

/** @type {typeof import("../../../app/web/page/api/uploads.js").batches} */
let batches;

before(async () => {
  // The client of the API keeps the key in the storage of the browser's tab.
  Object.assign(globalThis, { sessionStorage: { getItem: () => null } });
  ({ batches } = await import("../../../app/web/page/api/uploads.js"));
});

/**
 * @param {number} number
 * @param {number} size
 * @param {"train" | "test" | null} [split]
 */
const items = (number, size, split = null) =>
  Array.from({ length: number }, (_, index) => ({
    id: String(index),
    label: "ant",
    split,
    group: null,
    size,
    read: async () => new Blob(),
  }));

test("batches have so many images, and so many bytes", () => {
  assert.deepEqual(
    batches(items(50, 10)).map((batch) => batch.length),
    [24, 24, 2],
  );
  assert.deepEqual(
    batches(items(3, 5_000_000)).map((batch) => batch.length),
    [1, 1, 1],
  );
  assert.deepEqual(batches([]), []);
});

test("images to measure on go apart", () => {
  const mixed = [...items(2, 10, "test"), ...items(3, 10, "train"), ...items(1, 10)];
  const splits = batches(mixed).map((batch) => batch.map(({ split }) => split));
  assert.deepEqual(splits, [
    ["train", "train", "train", null],
    ["test", "test"],
  ]);
});
