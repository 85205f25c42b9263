// Two versions beside each other: class by class, and image by image.

import { all, get, path } from "../../api/client.js";
import { may } from "../../api/session.js";
import { classesOf } from "../../api/versions.js";
import { h } from "../../lib/dom.js";
import { count, percent } from "../../lib/format.js";
import { link } from "../../lib/router.js";
import { linkButton } from "../../ui/button.js";
import { gallery } from "../../ui/gallery.js";
import { notice } from "../../ui/notice.js";
import { restsOn } from "../../ui/rests_on.js";
import { loading, resource, shown } from "../../ui/resource.js";
import { table } from "../../ui/table.js";
import { changesBetween, points, some } from "./changes.js";
import { byClass, byImage } from "./comparing.js";
import { openPair } from "./pair_dialog.js";

/** @typedef {import("../../api/types.js").Version} Version */
/** @typedef {import("../../api/types.js").Judgement} Judgement */
/** @typedef {import("./comparing.js").Pair} Pair */
/** @typedef {import("../../api/types.js").MeasuredClass} MeasuredClass */
/** @typedef {import("./comparing.js").Measured} Measured */

// Images of each version that are compared, the most surely wrong first.
const MOST = 20_000;

/** @type {import("../../screens.js").MakeScreen} */
export function screen({ params: { name, before, after } }) {
  const numbers = [before, after];
  const versions = resource(async (signal) => {
    const of = (/** @type {string} */ number) => path`v1/classifiers/${name}/versions/${number}`;
    const found = await Promise.all(numbers.map((number) => get(of(number), { signal })));
    const classes = await Promise.all(numbers.map((number) => classesOf(of(number), signal)));
    return {
      versions: /** @type {[Version, Version]} */ (found),
      classes: /** @type {[MeasuredClass[], MeasuredClass[]]} */ (classes),
    };
  });
  return shown(versions, ({ versions: [old, young], classes }) =>
    h(
      "div",
      { class: "stack loose" },
      head(name, old, young),
      classSection(old, young, classes),
      may("train") ? imageSection(name, old, young) : null,
    ),
  );
}

/**
 * @param {string} name
 * @param {Version} old
 * @param {Version} young
 */
function head(name, old, young) {
  const { gained, lost, accuracy } = changesBetween(old, young);
  const facts = [
    accuracy === null ? null : `Accuracy over all classes: ${points(accuracy)}.`,
    measuredOn(old, young),
    gained.length ? `New: ${some(gained)}.` : null,
    lost.length ? `Gone: ${some(lost)}.` : null,
  ];
  const one = (/** @type {Version} */ { number }) =>
    linkButton(
      `Version ${number}`,
      link("/classifiers/:name/versions/:version", { name, version: `${number}` }),
    );
  return h(
    "div",
    { class: "row apart" },
    h(
      "div",
      { class: "stack tight" },
      h("h2", { class: "title" }, `Version ${old.number} and version ${young.number}`),
      h("p", { class: "muted" }, facts.filter(Boolean).join(" ")),
    ),
    h("div", { class: "row" }, one(old), one(young)),
  );
}

/** @param {...Version} versions */
function measuredOn(...versions) {
  const [old, young] = versions.map(({ metrics }) => restsOn(metrics.goes_by));
  if (old === young) return `Both are measured on ${old}.`;
  const [before, after] = versions.map(({ number }) => number);
  return `Version ${before} is measured on ${old}. Version ${after} is measured on ${young}.`;
}

/** @param {...Version} versions */
function goByHeldOut(...versions) {
  return versions.every(({ metrics }) => metrics.goes_by.used === "held_out");
}

/**
 * @param {Version} old
 * @param {Version} young
 * @param {[MeasuredClass[], MeasuredClass[]]} classes
 */
function classSection(old, young, classes) {
  return h(
    "section",
    { class: "card stack", "aria-labelledby": "by-class" },
    h("h2", { id: "by-class" }, "Class by class, the largest losses first"),
    table(
      "Accuracy of each class in both versions",
      ["Class", `Version ${old.number}`, `Version ${young.number}`, "Difference"],
      byClass(...classes).map(({ label, before, after, difference }) => [
        label,
        figure(before),
        figure(after),
        difference === null ? "–" : differenceBar(difference),
      ]),
    ),
  );
}

/** @param {Measured["goes_by"] | undefined} measured */
function figure(measured) {
  if (measured === undefined) return "not known";
  return measured.images ? `${percent(measured.accuracy)} of ${measured.images}` : "–";
}

/** @param {number} difference */
function differenceBar(difference) {
  const size = `${50 * Math.min(1, Math.abs(difference))}%`;
  const kind = difference < 0 ? "loss" : "gain";
  return h(
    "span",
    { class: "share" },
    h(
      "span",
      { class: "difference", "aria-hidden": "true" },
      h("span", { class: kind, style: { width: size } }),
    ),
    h("span", { class: "number" }, points(difference)),
  );
}

/**
 * @param {string} name
 * @param {Version} old
 * @param {Version} young
 */
function imageSection(name, old, young) {
  const used = goByHeldOut(old, young) ? "held_out" : null;
  const judged = resource(async (signal) =>
    Promise.all(
      [old, young].map(
        ({ number }) =>
          /** @type {Promise<Judgement[]>} */ (
            all(path`v1/classifiers/${name}/versions/${number}/judged`, {
              query: { limit: 1000, used },
              most: MOST,
              signal,
            })
          ),
      ),
    ),
  );
  return shown(
    judged,
    ([before = [], after = []]) => {
      const open = (/** @type {Pair} */ pair) => openPair([old, young], pair);
      const { broken, mended, both } = byImage(before, after);
      const how = used ? "held out of both versions" : "judged by both without having learnt them";
      return h(
        "section",
        { class: "stack", "aria-labelledby": "by-image" },
        h("h2", { id: "by-image" }, "Image by image"),
        h("p", { class: "muted" }, `${count(both, "image")} ${how}.`),
        before.length === MOST || after.length === MOST
          ? notice("info", null, `Of each version ${count(MOST, "image")} were compared.`)
          : null,
        part(`Right in version ${old.number}, wrong in version ${young.number}`, broken, open),
        part(`Wrong in version ${old.number}, right in version ${young.number}`, mended, open),
      );
    },
    loading,
  );
}

/**
 * @param {string} title
 * @param {readonly Pair[]} pairs
 * @param {(pair: Pair) => void} open
 */
function part(title, pairs, open) {
  return h(
    "div",
    { class: "card stack" },
    h("h3", null, `${title}: ${pairs.length.toLocaleString("en")}`),
    pairs.length
      ? gallery(
          title,
          pairs.map(({ before, after }) => ({
            sha256: after.sha256,
            title: after.label,
            text:
              before.predicted === before.label
                ? `→ ${after.predicted}`
                : `was ${before.predicted}`,
          })),
          { open: (index) => open(/** @type {Pair} */ (pairs[index])) },
        )
      : h("p", { class: "muted" }, "None."),
  );
}
