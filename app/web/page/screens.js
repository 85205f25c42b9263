// Every screen: its address, where it is named, which keys may see it, and its module.
//
// A module's function `screen` is given `Shown` and returns what is shown. Screens with `tab` are
// those of a classifier, in this order; screens with `menu` are in the menu at the top.

/** @typedef {{params: Record<string, string>}} Shown */
/** @typedef {(shown: Shown) => import("./lib/dom.js").Child} MakeScreen */

/**
 * @typedef {object} Screen
 * @property {string} path
 * @property {string} title of the browser's tab
 * @property {{label: string, icon: import("./ui/icon.js").IconName}} [menu]
 * @property {{label: string, icon: import("./ui/icon.js").IconName}} [tab]
 * @property {string} [under] path of the tab that it belongs to
 * @property {import("./api/session.js").Scope[]} scopes a key needs one of them
 * @property {() => Promise<{screen: MakeScreen}>} load
 */

/** @type {readonly Screen[]} */
export const SCREENS = [
  {
    path: "/",
    title: "Classifiers",
    menu: { label: "Classifiers", icon: "layers" },
    scopes: ["predict", "train"],
    load: () => import("./screens/classifiers/classifiers.js"),
  },
  {
    path: "/new",
    title: "New classifier",
    scopes: ["train"],
    load: () => import("./screens/new/new_classifier.js"),
  },
  {
    path: "/classifiers/:name/teach",
    title: "Teach",
    tab: { label: "Teach", icon: "upload" },
    scopes: ["train"],
    load: () => import("./screens/teach/teach.js"),
  },
  {
    path: "/classifiers/:name/try",
    title: "Try",
    tab: { label: "Try", icon: "spark" },
    scopes: ["predict"],
    load: () => import("./screens/try/try.js"),
  },
  {
    path: "/classifiers/:name/versions",
    title: "Versions",
    tab: { label: "Versions", icon: "tree" },
    scopes: ["predict", "train"],
    load: () => import("./screens/versions/versions.js"),
  },
  {
    path: "/classifiers/:name/versions/:version",
    title: "Version",
    under: "/classifiers/:name/versions",
    scopes: ["predict", "train"],
    load: () => import("./screens/versions/version.js"),
  },
  {
    path: "/classifiers/:name/compare/:before/:after",
    title: "Compare versions",
    under: "/classifiers/:name/versions",
    scopes: ["predict", "train"],
    load: () => import("./screens/versions/compare.js"),
  },
  {
    path: "/classifiers/:name/inside",
    title: "Look inside",
    tab: { label: "Look inside", icon: "eye" },
    scopes: ["train"],
    load: () => import("./screens/inside/inside.js"),
  },
  {
    path: "/classifiers/:name/inside/:version",
    title: "Look inside",
    under: "/classifiers/:name/inside",
    scopes: ["train"],
    load: () => import("./screens/inside/inside.js"),
  },
  {
    path: "/classifiers/:name/inside/:version/:part",
    title: "Look inside",
    under: "/classifiers/:name/inside",
    scopes: ["train"],
    load: () => import("./screens/inside/inside.js"),
  },
  {
    path: "/operate",
    title: "Operate",
    menu: { label: "Operate", icon: "gauge" },
    scopes: ["train", "metrics"],
    load: () => import("./screens/operate/operate.js"),
  },
];
