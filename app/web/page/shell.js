// The frame: menu, the tabs of a classifier, signing in, and the screen that the address names.

import { get } from "./api/client.js";
import { back, reachable } from "./api/reach.js";
import { key, keysOn, may, refused, scopes, signOut, signedIn } from "./api/session.js";
import { append, h } from "./lib/dom.js";
import { address, link, match } from "./lib/router.js";
import { computed, effect, scoped, signal, untracked } from "./lib/signals.js";
import { SCREENS } from "./screens.js";
import { signInForm } from "./sign_in.js";
import { themeButton } from "./theme.js";
import { announcements } from "./ui/announce.js";
import { button, linkButton } from "./ui/button.js";
import { icon } from "./ui/icon.js";
import { emptyScreen, notice, problemNotice } from "./ui/notice.js";
import { loading } from "./ui/resource.js";

const NAME = "Accrue";
// When the other screens are loaded, in seconds.
const LATER = 2;
const here = signal(address(location.hash));
addEventListener("hashchange", () => (here.value = address(location.hash)));

/** @typedef {import("./screens.js").Screen} Screen */

/** Puts the page into the document. */
export function start() {
  const found = computed(() => match(SCREENS, here.value));
  const main = h("main", { id: "main", tabindex: -1 });
  append(document.body, [
    h("a", { class: "skip", href: "#main", onclick: skipTo(main) }, "Skip to the content"),
    top(),
    () => (reachable.value ? null : away()),
    () => about(found.value),
    main,
    announcements,
  ]);
  showScreens(main, found);
  // Once it is shown, so that later screens are there even while the service is not.
  setTimeout(() => SCREENS.forEach((screen) => void screen.load().catch(() => {})), 1000 * LATER);
  effect(() => {
    void signedIn.value;
    untracked(() => void learnWhoAsks());
  });
}

function away() {
  return h(
    "div",
    { class: "away" },
    notice(
      "warning",
      "The service does not answer",
      "What you have done here is kept, and goes on by itself once it answers again.",
    ),
  );
}

/** Asks whether a key is wanted, and what the one that is here may do. */
async function learnWhoAsks() {
  try {
    keysOn.value = (await get("version")).keys === "required";
    if (!keysOn.value) scopes.value = ["admin"];
    else if (key.peek() === null) refused.value = true;
    else scopes.value = (await get("v1/key")).scopes;
  } catch (error) {
    if (!refused.peek()) failure.value = error;
  }
}

const failure = signal(/** @type {unknown} */ (null));

/** @param {HTMLElement} main */
function skipTo(main) {
  return (/** @type {Event} */ event) => {
    event.preventDefault(); // the address names a screen
    main.focus();
  };
}

function top() {
  const items = SCREENS.filter((screen) => screen.menu);
  return h(
    "header",
    { class: "top" },
    h(
      "div",
      { class: "top-inner" },
      h(
        "a",
        { class: "brand", href: "#/", "aria-label": `${NAME}: all classifiers` },
        h("img", { src: "web/icon.svg", alt: "" }),
        h("span", null, NAME),
      ),
      h("nav", { class: "menu grow", "aria-label": "Main" }, () =>
        items.filter(allowed).map(menuLink),
      ),
      themeButton(),
      () =>
        keysOn.value && key.value !== null
          ? button("Sign out", { icon: "logout", kind: "quiet", alone: true, onclick: signOut })
          : null,
    ),
  );
}

/** @param {Screen} screen */
function allowed(screen) {
  return may(...screen.scopes);
}

/** @param {Screen} screen */
function menuLink({ path, menu }) {
  const current = () => (here.value === path ? "page" : null);
  return h(
    "a",
    { href: link(path), "aria-current": current },
    menu ? icon(menu.icon) : null,
    h("span", null, menu?.label),
  );
}

/** @param {import("./lib/router.js").Match<Screen> | null} found */
function about(found) {
  if (!found || refused.value) return null;
  const { name } = found.params;
  const current = found.screen.under ?? found.screen.path;
  if (!SCREENS.some((screen) => screen.tab && screen.path === current)) return null;
  const tabs = SCREENS.filter((screen) => screen.tab && allowed(screen)).map((screen) =>
    h(
      "a",
      {
        href: link(screen.path, { name }),
        "aria-current": screen.path === current ? "page" : null,
      },
      screen.tab ? icon(screen.tab.icon) : null,
      h("span", null, screen.tab?.label),
    ),
  );
  return h(
    "section",
    { class: "about", "aria-label": "Classifier" },
    h(
      "div",
      { class: "about-inner" },
      h("h1", null, name),
      h("nav", { class: "tabs", "aria-label": "Parts of the classifier" }, ...tabs),
    ),
  );
}

/**
 * Shows the screen of the address. It ends, with all its requests, when another one is shown.
 * @param {HTMLElement} main
 * @param {import("./lib/signals.js").Computed<import("./lib/router.js").Match<Screen> | null>} found
 */
function showScreens(main, found) {
  let end = () => {};
  let first = true;
  let shown = 0;
  effect(() => {
    const [now, wantsKey, known] = [found.value, refused.value, scopes.value !== null];
    const failed = failure.value;
    const turn = ++shown;
    end();
    main.replaceChildren();
    document.title = now ? titleOf(now) : NAME;
    if (wantsKey) show(signInForm);
    else if (failed) show(() => problemNotice(failed, retry));
    else if (!known) append(main, [loading()]);
    else if (!now) show(nowhere);
    else if (!allowed(now.screen)) show(forbidden);
    else void load(now, turn);
  });

  /** @param {() => import("./lib/dom.js").Child} make */
  function show(make) {
    const [, ended] = scoped(() => append(main, [make()]));
    end = ended;
    const begin = /** @type {HTMLElement | null} */ (main.querySelector("[data-focus]"));
    // Not at the start: the reader begins at the top of the page.
    if (begin || !first) (begin ?? main).focus({ preventScroll: true });
    if (!first) scrollTo(0, 0);
    first = false;
  }

  /**
   * @param {import("./lib/router.js").Match<Screen>} now
   * @param {number} turn
   */
  async function load(now, turn) {
    try {
      const module = await now.screen.load().catch(async () => {
        // The service may be away, and its files with it.
        await back();
        return now.screen.load();
      });
      if (turn === shown) show(() => module.screen({ params: now.params }));
    } catch (error) {
      if (turn === shown) show(() => problemNotice(error, () => location.reload()));
    }
  }
}

function retry() {
  failure.value = null;
  void learnWhoAsks();
}

/** @param {import("./lib/router.js").Match<Screen>} found */
function titleOf({ screen, params }) {
  return [screen.title, params.name, NAME].filter(Boolean).join(" · ");
}

function nowhere() {
  const all = linkButton("All classifiers", "#/", { kind: "primary" });
  return emptyScreen("help", "There is no such page", "The address may have been cut off.", all);
}

function forbidden() {
  const text = "Ask whoever gave you the key for one that may, or sign in with another one.";
  const again = button("Sign in with another key", { kind: "primary", onclick: signOut });
  return emptyScreen("key", "Your key may not do this", text, again);
}
