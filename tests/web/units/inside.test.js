import assert from "node:assert/strict";
import { test } from "node:test";
import { mixedUp } from "../../../app/web/page/screens/inside/confusing.js";
import { newCorrections, requested } from "../../../app/web/page/screens/inside/corrections.js";
import { outcome } from "../../../app/web/page/screens/inside/words.js";

test("the classes that are mixed up most often come first", () => {
  const labels = ["crab", "lobster", "cup"];
  const counts = [
    [9, 1, 0],
    [3, 8, 0],
    [0, 2, 7],
  ];
  assert.deepEqual(mixedUp({ labels, counts }, 2), [
    { label: "lobster", predicted: "crab", images: 3 },
    { label: "cup", predicted: "lobster", images: 2 },
  ]);
  assert.deepEqual(mixedUp({ labels: [], counts: [] }, 2), []);
});

test("what is kept is not asked for, and the last decision counts", () => {
  const { decisions, decide, undo, clear } = newCorrections();
  const [a, b, c] = ["a", "b", "c"].map((sha256) => ({ sha256, label: "crab" }));
  assert.ok(a && b && c);
  decide(a, "lobster");
  decide(b, "crab");
  decide(c, "lobster");
  decide(c, null);
  assert.deepEqual(requested(decisions.value), [
    { sha256: "a", label: "lobster" },
    { sha256: "c", label: null },
  ]);
  undo(a);
  assert.deepEqual(requested(decisions.value), [{ sha256: "c", label: null }]);
  clear();
  assert.deepEqual(requested(decisions.value), []);
});

test("it is said what becomes of an image", () => {
  /** @type {import("../../../app/web/page/api/types.js").Judgement} */
  const image = {
    position: 0,
    sha256: "a",
    label: "crab",
    predicted: "lobster",
    score: 0.97,
    label_score: 0.01,
    used: "trained",
  };
  assert.equal(outcome(image, undefined), "lobster, 97 %");
  assert.equal(outcome({ ...image, predicted: "crab" }, undefined), "97 %");
  assert.equal(outcome(image, { kind: "correct", label: "lobster" }), "becomes lobster");
  assert.equal(outcome(image, { kind: "keep", label: "crab" }), "stays as it is");
  assert.equal(outcome(image, { kind: "leave-out", label: null }), "is left out");
});
