// The images that wait to be sent, and what can be done with them. Every function returns a new list.

/**
 * @typedef {import("../api/uploads.js").Item & {name: string, hash: string | null}} Item
 *   `name` of its file; `hash` of its bytes, null until it is known
 */

/** @typedef {{label: string, items: Item[]}} Group */
/** @typedef {{about: string, text: string, ids: string[]}} Warning `about`: the label of a class */

// Fewer images of a class than this teach little, and leave none to measure on.
const FEW = 10;

/**
 * Returns the classes with their images, in the order in which they were first named.
 * @param {readonly Item[]} items
 * @returns {Group[]}
 */
export function groups(items) {
  /** @type {Map<string, Item[]>} */
  const found = new Map();
  for (const item of items) {
    const same = found.get(item.label);
    if (same) same.push(item);
    else found.set(item.label, [item]);
  }
  return [...found].map(([label, own]) => ({ label, items: own }));
}

/**
 * Gives a class another name. One that exists gets its images: so classes are merged.
 * @param {readonly Item[]} items
 * @param {string} from
 * @param {string} to
 */
export function rename(items, from, to) {
  const label = cleanLabel(to);
  if (!label) return [...items];
  return items.map((item) => (item.label === from ? { ...item, label } : item));
}

/**
 * Moves images to a class, a new one too: so classes are split.
 * @param {readonly Item[]} items
 * @param {ReadonlySet<string>} ids
 * @param {string} to
 */
export function move(items, ids, to) {
  const label = cleanLabel(to);
  if (!label) return [...items];
  return items.map((item) => (ids.has(item.id) ? { ...item, label } : item));
}

/**
 * Leaves images out.
 * @param {readonly Item[]} items
 * @param {ReadonlySet<string>} ids
 */
export function leaveOut(items, ids) {
  return items.filter((item) => !ids.has(item.id));
}

/**
 * Returns a label as the service stores it.
 * @param {string} text
 */
export function cleanLabel(text) {
  return text.normalize("NFC").trim();
}

/**
 * Returns a label that no class has yet: `Class 1`, `Class 2`, …
 * @param {readonly string[]} taken
 */
export function freeLabel(taken) {
  const used = new Set(taken);
  let number = 1;
  while (used.has(`Class ${number}`)) number += 1;
  return `Class ${number}`;
}

/**
 * Returns what is worth knowing before the images are sent, about each class.
 * @param {readonly Item[]} items
 * @param {readonly string[]} known labels that the classifier knows
 * @param {ReadonlySet<string>} [broken] ids of images that cannot be shown
 * @returns {Warning[]}
 */
export function warnings(items, known, broken = new Set()) {
  const classes = groups(items);
  return [
    ...classes.flatMap((one) => fewImages(one, known)),
    ...similarLabels(
      classes.map(({ label }) => label),
      known,
    ),
    ...sameImages(items),
    ...classes.flatMap((one) => damaged(one, broken)),
  ];
}

/**
 * @param {Group} one
 * @param {readonly string[]} known
 * @returns {Warning[]}
 */
function fewImages({ label, items }, known) {
  if (items.length >= FEW || known.includes(label)) return [];
  const many = items.length === 1 ? "Only 1 image" : `Only ${items.length} images`;
  return [{ about: label, text: `${many}: ${FEW} or more teach a class well.`, ids: [] }];
}

/**
 * @param {Group} one
 * @param {ReadonlySet<string>} broken
 * @returns {Warning[]}
 */
function damaged({ label, items }, broken) {
  const ids = items.filter(({ id }) => broken.has(id)).map(({ id }) => id);
  if (!ids.length) return [];
  const many = ids.length === 1 ? "1 file" : `${ids.length} files`;
  return [{ about: label, text: `${many} cannot be shown: damaged, or not an image.`, ids }];
}

/**
 * @param {readonly string[]} labels
 * @param {readonly string[]} known
 * @returns {Warning[]}
 */
function similarLabels(labels, known) {
  /** @type {Map<string, string>} */
  const seen = new Map(known.map((label) => [folded(label), label]));
  /** @type {Warning[]} */
  const found = [];
  for (const label of labels) {
    const other = seen.get(folded(label));
    if (other !== undefined && other !== label) {
      const text = `Nearly the same name as “${other}”. They are different classes: give both one name if they are not.`;
      found.push({ about: label, text, ids: [] });
    } else seen.set(folded(label), label);
  }
  return found;
}

/** @param {string} label */
function folded(label) {
  return label
    .normalize("NFKD")
    .replace(/[\p{M}\s_-]/gu, "")
    .toLowerCase();
}

/**
 * @param {readonly Item[]} items
 * @returns {Warning[]}
 */
function sameImages(items) {
  /** @type {Map<string, Item>} */
  const seen = new Map();
  /** @type {Map<string, Warning & {other: string}>} */
  const found = new Map();
  for (const item of items) {
    if (item.hash === null) continue;
    const first = seen.get(item.hash);
    if (first === undefined) seen.set(item.hash, item);
    else if (first.label !== item.label) {
      const pair = `${item.label}\n${first.label}`;
      const entry = found.get(pair) ?? { about: item.label, text: "", ids: [], other: first.label };
      entry.ids.push(item.id);
      found.set(pair, entry);
    }
  }
  return [...found.values()].map(({ about, ids, other }) => ({
    about,
    ids,
    text:
      ids.length === 1
        ? `1 image is also in “${other}”. It cannot be both.`
        : `${ids.length} images are also in “${other}”. They cannot be both.`,
  }));
}

/**
 * Leaves out images that are in their class already.
 * @param {readonly Item[]} items
 * @returns {Item[]}
 */
export function withoutRepeats(items) {
  /** @type {Set<string>} */
  const seen = new Set();
  return items.filter((item) => {
    const name = item.hash === null ? item.id : `${item.label}\n${item.hash}`;
    const isNew = !seen.has(name);
    seen.add(name);
    return isNew;
  });
}
