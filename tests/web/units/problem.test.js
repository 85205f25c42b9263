import assert from "node:assert/strict";
import { test } from "node:test";
import { isAbort, parsed } from "../../../app/web/page/api/problem.js";

test("a problem document", () => {
  const errors = [{ pointer: "/name", detail: "too long" }];
  const text = JSON.stringify({ title: "Invalid", code: "invalid-request", detail: "No.", errors });
  const problem = parsed(text, 422);
  assert.equal(problem.code, "invalid-request");
  assert.equal(problem.message, "No.");
  assert.deepEqual(problem.errors, errors);
  assert.equal(problem.retryAfter, null);
});

test("an answer of a proxy", () => {
  const problem = parsed("<html>502 Bad Gateway</html>", 502, "3");
  assert.equal(problem.status, 502);
  assert.equal(problem.title, "The answer was 502");
  assert.equal(problem.retryAfter, 3);
});

test("what was given up is not a failure", () => {
  assert.ok(isAbort(new DOMException("gone", "AbortError")));
  assert.ok(!isAbort(new Error("gone")));
});
