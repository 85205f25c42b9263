import assert from "node:assert/strict";
import { test } from "node:test";
import {
  freeLabel,
  groups,
  leaveOut,
  move,
  rename,
  warnings,
  withoutRepeats,
} from "../../../app/web/page/staged/staging.js";

/** @typedef {import("../../../app/web/page/staged/staging.js").Item} Item */

/**
 * @param {string} label
 * @param {number} number
 * @param {Partial<Item>} [rest]
 * @returns {Item[]}
 */
function images(label, number, rest = {}) {
  return Array.from({ length: number }, (_, index) => ({
    id: `${label}/${index}`,
    name: `${index}.png`,
    label,
    split: null,
    group: null,
    size: 100,
    read: async () => new Blob(),
    hash: null,
    ...rest,
  }));
}

/** @param {readonly Item[]} items */
const counts = (items) => groups(items).map(({ label, items: own }) => [label, own.length]);

test("a class that gets the name of another one is merged with it", () => {
  const items = [...images("Crab", 2), ...images("crab", 3), ...images("ant", 1)];
  assert.deepEqual(counts(rename(items, "Crab", " crab ")), [
    ["crab", 5],
    ["ant", 1],
  ]);
  assert.deepEqual(counts(rename(items, "Crab", "  ")), counts(items));
});

test("images that are moved to a new class split the old one", () => {
  const items = images("crab", 3);
  const moved = move(items, new Set(["crab/1"]), "lobster");
  assert.deepEqual(counts(moved), [
    ["crab", 2],
    ["lobster", 1],
  ]);
  assert.deepEqual(counts(leaveOut(moved, new Set(["crab/0", "lobster/1", "crab/1"]))), [
    ["crab", 1],
  ]);
});

test("labels are stored as the service stores them", () => {
  const [item] = rename(images("a", 1), "a", "cafe\u0301");
  assert.equal(item?.label, "caf\u00e9");
});

test("a new class has a name that none has", () => {
  assert.equal(freeLabel([]), "Class 1");
  assert.equal(freeLabel(["Class 1", "ant", "Class 2"]), "Class 3");
});

test("few images are said, but not of a class that is known", () => {
  const items = [...images("ant", 3), ...images("bee", 10), ...images("crab", 2)];
  const found = warnings(items, ["crab"]);
  assert.deepEqual(
    found.map(({ about }) => about),
    ["ant"],
  );
});

test("names that are nearly the same are said, also of classes that are known", () => {
  const items = [...images("Tulip", 10), ...images("tulip", 10), ...images("café", 10)];
  const found = warnings(items, ["Cafe"]);
  assert.deepEqual(
    found.map(({ about }) => about),
    ["tulip", "café"],
  );
  assert.match(found[0]?.text ?? "", /“Tulip”/);
});

test("the same image under two classes is said, with the images to leave out", () => {
  const items = [
    ...images("ant", 10),
    ...images("bee", 10),
    ...images("crab", 10, { hash: "same" }).slice(0, 1),
    ...images("dog", 10, { hash: "same" }).slice(0, 1),
  ];
  const found = warnings(items, ["crab", "dog"]);
  assert.deepEqual(found, [
    { about: "dog", ids: ["dog/0"], text: "1 image is also in “crab”. It cannot be both." },
  ]);
});

test("an image is in a class once", () => {
  const items = [...images("ant", 3, { hash: "same" }), ...images("bee", 2, { hash: "same" })];
  assert.deepEqual(counts(withoutRepeats([...items, ...images("crab", 2)])), [
    ["ant", 1],
    ["bee", 1],
    ["crab", 2],
  ]);
});
