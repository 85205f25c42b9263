// Metrics in the text format of Prometheus.

/** @typedef {{labels: Record<string, string>, value: number}} Sample */
/** @typedef {Map<string, Sample[]>} Metrics samples by the name of the metric */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/**
 * Reads the text that `GET /metrics` answers.
 * @param {string} text
 * @returns {Metrics}
 */
export function parseMetrics(text) {
  /** @type {Metrics} */
  const found = new Map();
  for (const line of text.split("\n")) {
    const [, name, inside = "", value] = LINE.exec(line) ?? [];
    if (!name) continue; // a comment, or empty
    const labels = Object.fromEntries(
      [...inside.matchAll(LABEL)].map(([, label, content]) => [label, unescaped(content ?? "")]),
    );
    const samples = found.get(name) ?? [];
    samples.push({ labels, value: Number(value) });
    found.set(name, samples);
  }
  return found;
}

/**
 * Adds the samples of a metric that have these labels; null where there is none.
 * @param {Metrics} metrics
 * @param {string} name
 * @param {Record<string, string>} [labels]
 */
export function total(metrics, name, labels = {}) {
  const wanted = Object.entries(labels);
  const fitting = (metrics.get(name) ?? []).filter((sample) =>
    wanted.every(([label, content]) => sample.labels[label] === content),
  );
  return fitting.length ? fitting.reduce((sum, { value }) => sum + value, 0) : null;
}

/** @param {string} text */
function unescaped(text) {
  return text.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));
}
