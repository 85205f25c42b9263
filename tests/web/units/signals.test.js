import assert from "node:assert/strict";
import { test } from "node:test";
import {
  batch,
  computed,
  effect,
  onEnd,
  scoped,
  signal,
} from "../../../app/web/page/lib/signals.js";

test("an effect runs again when what it read changes, and only then", () => {
  const [shown, other] = [signal(1), signal(1)];
  /** @type {number[]} */
  const seen = [];
  effect(() => seen.push(shown.value + other.peek()));
  shown.value = 2;
  shown.value = 2;
  other.value = 5;
  assert.deepEqual(seen, [2, 3]);
});

test("changes in a batch are seen at once", () => {
  const [left, right] = [signal(1), signal(2)];
  /** @type {number[]} */
  const seen = [];
  effect(() => seen.push(left.value + right.value));
  batch(() => {
    left.value = 10;
    right.value = 20;
  });
  assert.deepEqual(seen, [3, 30]);
});

test("what an effect no longer reads does not concern it", () => {
  const [first, name] = [signal(true), signal("a")];
  let runs = 0;
  effect(() => {
    runs += 1;
    if (first.value) void name.value;
  });
  first.value = false;
  name.value = "b";
  assert.equal(runs, 2);
});

test("a scope ends its effects, and those inside them", () => {
  const outer = signal(0);
  const inner = signal(0);
  /** @type {string[]} */
  const log = [];
  const [, end] = scoped(() =>
    effect(() => {
      void outer.value;
      effect(() => log.push(`inner ${inner.value}`));
      onEnd(() => log.push("end"));
    }),
  );
  outer.value = 1;
  inner.value = 1;
  end();
  inner.value = 2;
  outer.value = 2;
  assert.deepEqual(log, ["inner 0", "end", "inner 0", "inner 1", "end"]);
});

test("a computed signal tells only of another value", () => {
  const number = signal(1);
  const even = computed(() => number.value % 2 === 0);
  /** @type {boolean[]} */
  const seen = [];
  effect(() => seen.push(even.value));
  number.value = 3;
  number.value = 4;
  assert.deepEqual(seen, [false, true]);
});
