import assert from "node:assert/strict";
import { test } from "node:test";
import { kindOf, valueOf } from "../../../app/web/page/screens/new/schema.js";

test("a choice among words", () => {
  const property = { anyOf: [{ enum: ["exact", "fast"], type: "string" }, { type: "null" }] };
  assert.deepEqual(kindOf(property), { type: "string", choices: ["exact", "fast"] });
  assert.equal(valueOf(property, "fast"), "fast");
});

test("numbers, lists and what is none", () => {
  assert.equal(valueOf({ type: "integer" }, "12"), 12);
  assert.deepEqual(valueOf({ type: "array" }, "[0.5, 1]"), [0.5, 1]);
  assert.equal(valueOf({ anyOf: [{ type: "integer" }, { type: "null" }] }, "null"), null);
  assert.equal(valueOf({ type: "boolean" }, "false"), false);
  // The service says what is wrong with it.
  assert.equal(valueOf({ type: "number" }, "many"), "many");
});
