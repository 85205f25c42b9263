import assert from "node:assert/strict";
import { test } from "node:test";
import { snippets } from "../../../app/web/page/screens/try/snippets.js";

const asked = { service: "http://127.0.0.1:8000/", classifier: "my signs", key: false };

test("every language names the address", () => {
  const [curl, python, javascript] = snippets(asked).map(({ code }) => code);
  const address = "http://127.0.0.1:8000/v1/classifiers/my%20signs/predict";
  assert.ok(curl?.startsWith(`curl '${address}'`));
  assert.ok(javascript?.includes(JSON.stringify(address)));
  assert.ok(python?.includes('Accrue("http://127.0.0.1:8000")'));
  assert.ok(python?.includes('get("my signs")'));
});

test("a key is asked for where the service wants one, and never shown", () => {
  for (const { code } of snippets(asked)) assert.doesNotMatch(code, /key/i);
  for (const { code } of snippets({ ...asked, key: true })) assert.match(code, /key/i);
});
