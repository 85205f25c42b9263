import assert from "node:assert/strict";
import { test } from "node:test";
import { onePerLabel } from "../../../app/web/page/screens/classifiers/examples.js";

test("every class comes before a second image of one", () => {
  const images = ["a", "a", "a", "b", "c", "c"].map((label, id) => ({ label, id }));
  const labels = (/** @type {number} */ most) =>
    onePerLabel(images, most).map(({ label }) => label);
  assert.deepEqual(labels(2), ["a", "b"]);
  assert.deepEqual(labels(5), ["a", "b", "c", "a", "c"]);
  assert.equal(onePerLabel(images, 99).length, 6);
});
