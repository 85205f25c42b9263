// Which screen an address names. Addresses are behind the `#`, so that the service has to know `/`
// alone, and works below any prefix that a proxy adds.

/**
 * @template Screen
 * @typedef {{screen: Screen, params: Record<string, string>}} Match
 */

/**
 * Finds the first screen whose path fits. `:name` in a path stands for one part of the address.
 * @template {{path: string}} Screen
 * @param {readonly Screen[]} screens
 * @param {string} address like `/classifiers/signs/teach`
 * @returns {Match<Screen> | null}
 */
export function match(screens, address) {
  const parts = split(address);
  for (const screen of screens) {
    const wanted = split(screen.path);
    if (wanted.length !== parts.length) continue;
    /** @type {Record<string, string>} */
    const params = {};
    const fits = wanted.every((part, index) => {
      const given = decode(parts[index] ?? "");
      if (part.startsWith(":")) params[part.slice(1)] = given;
      return part.startsWith(":") || part === given;
    });
    if (fits) return { screen, params };
  }
  return null;
}

/**
 * Returns the link to an address, with `:name` replaced by what `params` has.
 * @param {string} path
 * @param {Record<string, string>} [params]
 * @returns {string}
 */
export function link(path, params = {}) {
  const filled = path.replace(/:([a-z]+)/g, (_, name) => encodeURIComponent(params[name] ?? ""));
  return `#${filled}`;
}

/**
 * Returns the address in a `#…`.
 * @param {string} hash
 * @returns {string}
 */
export function address(hash) {
  return hash.replace(/^#/, "") || "/";
}

/** @param {string} path */
function split(path) {
  return path.split("?")[0].split("/").filter(Boolean);
}

/** @param {string} part */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
