// Elements from functions. What may change is given as a function, which is called again when a
// signal that it read changes; all else of the page stays as it is, with focus and scroll position.

import { effect, onEnd, scoped, untracked } from "./signals.js";

/** @typedef {Node | string | number | null | undefined | false} Plain */
/** @typedef {Plain | Child[] | (() => Plain | Child[])} Child */
/** @typedef {Record<string, any>} Props */

const SVG = "http://www.w3.org/2000/svg";
// Set as properties: their attributes only say how the element begins.
const PROPERTIES = new Set(["value", "checked", "disabled", "indeterminate", "open", "srcObject"]);

const CONTROLS = "button:enabled, a[href], input:enabled:not([hidden]), select:enabled, [tabindex]";

/**
 * Makes an HTML element. Of `props`, `on…` are listeners, `ref` is called with the element, `style`
 * holds CSS properties, and the rest are attributes; null and false leave one out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Props | null} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  // Children first: the value of a select needs its options.
  append(element, children);
  set(element, props);
  return element;
}

/**
 * Makes an SVG element.
 * @param {string} tag
 * @param {Props | null} [props]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function s(tag, props, ...children) {
  const element = /** @type {SVGElement} */ (document.createElementNS(SVG, tag));
  append(element, children);
  set(element, props);
  return element;
}

/**
 * @param {Element} element
 * @param {Props | null | undefined} props
 */
function set(element, props) {
  for (const [name, given] of Object.entries(props ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), given);
    else if (name === "ref") given(element);
    else if (typeof given === "function") effect(() => put(element, name, given()));
    else put(element, name, given);
  }
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {any} value
 */
function put(element, name, value) {
  if (name === "style") {
    for (const [property, text] of Object.entries(value ?? {})) {
      // The policy forbids the attribute, and allows this.
      /** @type {HTMLElement} */ (element).style.setProperty(property, text);
    }
  } else if (PROPERTIES.has(name)) /** @type {any} */ (element)[name] = value ?? "";
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/**
 * @param {Element | DocumentFragment} parent
 * @param {Child[]} children
 */
export function append(parent, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(parent, child);
    else if (typeof child === "function") region(parent, child);
    else if (child instanceof Node) parent.append(child);
    else if (child !== null && child !== undefined && child !== false) parent.append(String(child));
  }
}

/**
 * Keeps what a function returns between two marks, and makes it anew when a signal changes.
 * @param {Element | DocumentFragment} parent
 * @param {() => Plain | Child[]} make
 */
function region(parent, make) {
  const [start, end] = [document.createComment(""), document.createComment("")];
  parent.append(start, end);
  effect(() => {
    const made = document.createDocumentFragment();
    append(made, [make()]);
    const focused = clear(start, end);
    end.before(made);
    if (focused) focusFirst(start, end);
  });
}

/**
 * @param {Node} start
 * @param {Node} end
 * @returns {boolean} whether the focus was in what has gone
 */
function clear(start, end) {
  let focused = false;
  for (let node = start.nextSibling; node && node !== end; node = start.nextSibling) {
    focused ||= node.contains(document.activeElement);
    node.remove();
  }
  return focused;
}

/**
 * Gives the focus to the first control between two marks, so that a button that becomes another one
 * does not send who uses the keyboard back to the top.
 * @param {Node} start
 * @param {Node} end
 */
function focusFirst(start, end) {
  for (let node = start.nextSibling; node && node !== end; node = node.nextSibling) {
    if (!(node instanceof Element)) continue;
    const control = node.matches(CONTROLS) ? node : node.querySelector(CONTROLS);
    if (control) return /** @type {HTMLElement} */ (control).focus({ preventScroll: true });
  }
}

/**
 * Keeps an element for each item of a list, found again by its key: an item that stays keeps its
 * element. An element is made once, so what may change of an item must be read in a function.
 * @template T
 * @param {() => readonly T[]} list
 * @param {(item: T) => string | number} key
 * @param {(item: T, index: number) => Element} make
 * @returns {DocumentFragment}
 */
export function each(list, key, make) {
  const [start, end] = [document.createComment(""), document.createComment("")];
  const fragment = document.createDocumentFragment();
  fragment.append(start, end);
  /** @type {Map<string | number, [Element, () => void]>} */
  let shown = new Map();
  effect(() => {
    const items = list();
    untracked(() => {
      const next = new Map();
      let place = start.nextSibling ?? end;
      items.forEach((item, index) => {
        const name = key(item);
        const entry = shown.get(name) ?? scoped(() => make(item, index));
        shown.delete(name);
        next.set(name, entry);
        if (entry[0] === place) place = place.nextSibling ?? end;
        else end.parentNode?.insertBefore(entry[0], place);
      });
      for (const [element, endScope] of shown.values()) {
        element.remove();
        endScope();
      }
      shown = next;
    });
  });
  onEnd(() => shown.forEach(([, endScope]) => endScope()));
  return fragment;
}
