import assert from "node:assert/strict";
import { test } from "node:test";
import {
  changesBetween,
  forgettingOf,
  points,
  some,
} from "../../../app/web/page/screens/versions/changes.js";
import { byClass, byImage } from "../../../app/web/page/screens/versions/comparing.js";
import { forgotten } from "../../../app/web/page/screens/versions/forgetting.js";
import { lanesOf } from "../../../app/web/page/screens/versions/lanes.js";
import { restsOn } from "../../../app/web/page/ui/rests_on.js";

/** @typedef {import("../../../app/web/page/api/types.js").Version} Version */
/** @typedef {import("../../../app/web/page/api/types.js").Judgement} Judgement */

test("a branch has a lane of its own, down to where it begins", () => {
  const versions = [
    { number: 5, parent: 4 },
    { number: 4, parent: 2 },
    { number: 3, parent: 2 },
    { number: 2, parent: 1 },
    { number: 1, parent: null },
  ];
  const { places, edges, lanes } = lanesOf(versions);
  assert.deepEqual(
    places.map(({ lane }) => lane),
    [0, 0, 1, 0, 0],
  );
  assert.equal(lanes, 2);
  assert.deepEqual(
    edges.map(({ from, to }) => [from.number, to.number]),
    [
      [5, 4],
      [4, 2],
      [3, 2],
      [2, 1],
    ],
  );
});

test("a lane is used again, and a version whose parent is gone begins one", () => {
  const versions = [
    { number: 4, parent: 3 },
    { number: 3, parent: null },
    { number: 2, parent: 1 },
    { number: 1, parent: null },
  ];
  const { places, edges, lanes } = lanesOf(versions);
  assert.deepEqual(
    places.map(({ lane }) => lane),
    [0, 0, 0, 0],
  );
  assert.equal(lanes, 1);
  assert.equal(edges.length, 2);
});

/**
 * @param {string[]} labels
 * @param {object} metrics
 */
function version(labels, metrics) {
  const classes = labels.map((label) => ({ label }));
  return /** @type {Version} */ (/** @type {unknown} */ ({ classes, metrics }));
}

test("what changes is named", () => {
  const before = version(["crab", "lobster"], { goes_by: { accuracy: 0.9 } });
  const after = version(["crab", "lotus"], { goes_by: { accuracy: 0.85 } });
  const changes = changesBetween(before, after);
  assert.deepEqual([changes.gained, changes.lost], [["lotus"], ["lobster"]]);
  assert.equal(points(changes.accuracy), "−5 points");
  assert.equal(points(0.0001), "no change");
  assert.equal(points(null), "–");
  const unknown = version([], { goes_by: { accuracy: null } });
  assert.equal(changesBetween(before, unknown).accuracy, null);
});

test("what an accuracy rests on is said, and nothing of forgetting where that is little", () => {
  const heldOut = {
    accuracy: 0.9,
    images: 1,
    standard_error: null,
    used: /** @type {const} */ ("held_out"),
  };
  const trained = { ...heldOut, images: 115, used: /** @type {const} */ ("trained") };
  assert.equal(restsOn(heldOut), "1 held-out image");
  assert.match(restsOn(trained), /^115 learnt images, each judged as if/);
  assert.equal(forgettingOf(version([], { goes_by: heldOut, forgetting: 0.1 })), 0.1);
  assert.equal(forgettingOf(version([], { goes_by: trained, forgetting: 0.1 })), null);
});

test("some of many are named", () => {
  assert.equal(some(["a"]), "a");
  assert.equal(some(["a", "b", "c"]), "a, b and c");
  assert.equal(some(["a", "b", "c", "d"], 2), "a, b and 2 more");
});

test("forgetting is measured from the best row before", () => {
  const rows = [
    { number: 1, accuracy: 1, tasks: [0], accuracies: [0.8] },
    { number: 2, accuracy: 1, tasks: [0, 1], accuracies: [0.9, 1] },
    { number: 3, accuracy: 1, tasks: [0, 1, 2], accuracies: [0.6, null, 1] },
  ];
  assert.equal(forgotten(rows, 0)?.toFixed(2), "0.30");
  assert.equal(forgotten(rows, 1), null);
  assert.equal(forgotten(rows, 2), null);
});

test("classes are compared, the largest losses first", () => {
  /** @type {(label: string, accuracy: number | null) => import("../../../app/web/page/screens/versions/comparing.js").Measured} */
  const of = (label, accuracy) => ({ label, goes_by: { accuracy, images: 4 } });
  const before = [of("a", 0.5), of("b", 0.9), of("gone", 1)];
  const after = [of("a", 0.75), of("b", 0.4), of("new", null)];
  assert.deepEqual(
    byClass(before, after).map(({ label, difference }) => [label, difference]),
    [
      ["b", -0.5],
      ["a", 0.25],
      ["gone", null],
      ["new", null],
    ],
  );
});

test("images are compared by the label that each version has of them", () => {
  /**
   * @param {string} sha256
   * @param {string} label
   * @param {string} predicted
   */
  const judgement = (sha256, label, predicted) =>
    /** @type {Judgement} */ (
      /** @type {Partial<Judgement>} */ ({ sha256, label, predicted, score: 1, label_score: 1 })
    );
  const before = [judgement("1", "a", "b"), judgement("2", "a", "a"), judgement("3", "a", "b")];
  const after = [
    judgement("1", "b", "b"), // corrected meanwhile
    judgement("2", "a", "b"),
    judgement("3", "a", "b"),
    judgement("4", "a", "b"),
  ];
  const { mended, broken, both } = byImage(before, after);
  assert.deepEqual(
    mended.map((pair) => pair.after.sha256),
    ["1"],
  );
  assert.deepEqual(
    broken.map((pair) => pair.after.sha256),
    ["2"],
  );
  assert.equal(both, 3);
});
