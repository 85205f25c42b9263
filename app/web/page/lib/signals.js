// Values that say when they change. An effect runs again when a signal that it has read changes, and
// ends with the scope in which it was made, so a screen that goes leaves nothing behind.

/**
 * @template T
 * @typedef {object} Signal
 * @property {T} value reading it in an effect makes the effect depend on it
 * @property {() => T} peek reads it without that
 */

/**
 * @template T
 * @typedef {{readonly value: T, peek: () => T}} Computed
 */

/** @typedef {{ends: (() => void)[]}} Scope */
/** @typedef {{run: () => void, sources: Set<Set<Effect>>}} Effect */

/** @type {Scope | null} */
let scope = null;
/** @type {Effect | null} */
let running = null;
/** @type {Set<Effect>} */
let waiting = new Set();
let depth = 0;

/**
 * Returns a value that effects can depend on.
 * @template T
 * @param {T} first
 * @returns {Signal<T>}
 */
export function signal(first) {
  let value = first;
  /** @type {Set<Effect>} */
  const readers = new Set();
  return {
    get value() {
      if (running) {
        readers.add(running);
        running.sources.add(readers);
      }
      return value;
    },
    set value(next) {
      if (Object.is(next, value)) return;
      value = next;
      batch(() => readers.forEach((reader) => waiting.add(reader)));
    },
    peek: () => value,
  };
}

/**
 * Runs a function whose changes are seen all at once, at its end.
 * @param {() => void} change
 */
export function batch(change) {
  depth += 1;
  try {
    change();
  } finally {
    depth -= 1;
    while (depth === 0 && waiting.size) {
      const now = waiting;
      waiting = new Set();
      for (const each of now) each.run();
    }
  }
}

/**
 * Runs a function now, and again after each change of what it read. Ends with its scope.
 * @param {() => void} action
 * @returns {() => void} ends it
 */
export function effect(action) {
  /** @type {Scope} */
  const own = { ends: [] };
  let ended = false;
  /** @type {Effect} */
  const self = {
    sources: new Set(),
    run() {
      if (ended) return;
      release();
      const [outer, before] = [scope, running];
      [scope, running] = [own, self];
      try {
        action();
      } finally {
        [scope, running] = [outer, before];
      }
    },
  };
  function release() {
    for (const readers of self.sources) readers.delete(self);
    self.sources.clear();
    for (const end of own.ends.splice(0).reverse()) end();
  }
  const end = () => {
    ended = true;
    release();
  };
  onEnd(end);
  self.run();
  return end;
}

/**
 * Returns a signal that follows others. It tells its readers only when its value changes.
 * @template T
 * @param {() => T} from
 * @returns {Computed<T>}
 */
export function computed(from) {
  const result = signal(/** @type {T} */ (/** @type {unknown} */ (undefined)));
  effect(() => {
    result.value = from();
  });
  return result;
}

/**
 * Reads signals without depending on them.
 * @template T
 * @param {() => T} read
 * @returns {T}
 */
export function untracked(read) {
  const before = running;
  running = null;
  try {
    return read();
  } finally {
    running = before;
  }
}

/**
 * Runs a function in a scope of its own, and returns what it returned and what ends the scope.
 * @template T
 * @param {() => T} make
 * @returns {[T, () => void]}
 */
export function scoped(make) {
  /** @type {Scope} */
  const own = { ends: [] };
  const outer = scope;
  scope = own;
  try {
    const made = untracked(make);
    return [
      made,
      () =>
        own.ends
          .splice(0)
          .reverse()
          .forEach((end) => end()),
    ];
  } finally {
    scope = outer;
  }
}

/**
 * Has a function called when the scope ends that is being built.
 * @param {() => void} end
 */
export function onEnd(end) {
  scope?.ends.push(end);
}

/**
 * Returns an AbortSignal that fires when the scope ends: requests of a screen that has gone stop.
 * @returns {AbortSignal}
 */
export function whileShown() {
  const controller = new AbortController();
  onEnd(() => controller.abort());
  return controller.signal;
}
