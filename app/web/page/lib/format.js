// Numbers and times as people read them.

/**
 * Returns a share as a percentage: `97.5 %`, and `–` for none.
 * @param {number | null | undefined} share from 0 to 1
 * @param {number} [digits]
 */
export function percent(share, digits = 1) {
  if (share === null || share === undefined) return "–";
  const text = (100 * share).toFixed(digits);
  return `${text.replace(/\.0+$/, "")} %`;
}

/**
 * Returns a number with its unit: `1 image`, `2,000 images`.
 * @param {number} number
 * @param {string} one
 * @param {string} [many]
 */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/**
 * Returns a size in the unit that fits: `3.4 MB`.
 * @param {number} size in bytes
 */
export function bytes(size) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let [value, unit] = [size, 0];
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/**
 * Returns how long something takes: `40 s`, `3 min`, `2 h 5 min`.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return `${Math.floor(minutes / 60)} h${rest ? ` ${rest} min` : ""}`;
}

/**
 * Returns how long ago a time was: `just now`, `5 minutes ago`, `3 days ago`.
 * @param {string} time RFC 3339
 * @param {number} [now] milliseconds since 1970
 */
export function ago(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  if (seconds < 60) return "just now";
  /** @type {[string, number][]} */
  const units = [
    ["year", 31_536_000],
    ["month", 2_592_000],
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ];
  const [unit, length] = units.find(([, each]) => seconds >= each) ?? ["minute", 60];
  return `${count(Math.floor(seconds / length), unit)} ago`;
}

/**
 * Returns a text as a sentence: the service's warnings begin small and have no full stop.
 * @param {string} text
 */
export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
