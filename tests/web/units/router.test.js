import assert from "node:assert/strict";
import { test } from "node:test";
import { address, link, match } from "../../../app/web/page/lib/router.js";

const SCREENS = [{ path: "/" }, { path: "/new" }, { path: "/classifiers/:name/teach" }];

test("an address names a screen, with what it is about", () => {
  assert.equal(match(SCREENS, "/")?.screen, SCREENS[0]);
  assert.equal(match(SCREENS, "/new")?.screen, SCREENS[1]);
  assert.deepEqual(match(SCREENS, "/classifiers/a%2Fb/teach"), {
    screen: SCREENS[2],
    params: { name: "a/b" },
  });
});

test("other addresses name none", () => {
  assert.equal(match(SCREENS, "/classifiers/signs"), null);
  assert.equal(match(SCREENS, "/classifiers/signs/teach/more"), null);
  assert.equal(match(SCREENS, "/classifiers/%/teach")?.params.name, "%");
});

test("a link leads where it says", () => {
  const to = link("/classifiers/:name/teach", { name: "a b/c" });
  assert.equal(to, "#/classifiers/a%20b%2Fc/teach");
  assert.equal(match(SCREENS, address(to))?.params.name, "a b/c");
  assert.equal(address(""), "/");
});
