// The same request in other languages, to copy.

/** @typedef {{language: string, code: string}} Snippet */

/**
 * Returns how programs ask what the page has asked.
 * @param {object} asked
 * @param {string} asked.service its address, with a slash at the end
 * @param {string} asked.classifier
 * @param {boolean} asked.key whether the service wants a key
 * @returns {Snippet[]}
 */
export function snippets({ service, classifier, key }) {
  const address = `${service}v1/classifiers/${encodeURIComponent(classifier)}/predict`;
  return [
    { language: "curl", code: curl(address, key) },
    { language: "Python", code: python(service, classifier, key) },
    { language: "JavaScript", code: javascript(address, key) },
  ];
}

/**
 * @param {string} address
 * @param {boolean} key
 */
function curl(address, key) {
  return [
    `curl '${address.replaceAll("'", "%27")}'`,
    ...(key ? [`-H "Authorization: Bearer $ACCRUE_KEY"`] : []),
    "-H 'Content-Type: image/jpeg'",
    "--data-binary @photo.jpg",
  ].join(" \\\n  ");
}

/**
 * @param {string} service
 * @param {string} classifier
 * @param {boolean} key
 */
function python(service, classifier, key) {
  return `from accrue_client import Accrue

accrue = Accrue(${JSON.stringify(service.replace(/\/$/, ""))})${key ? "  # the key comes from ACCRUE_KEY" : ""}
answer = accrue.classifiers.get(${JSON.stringify(classifier)}).predict("photo.jpg")
print(answer.label, answer.score, answer.known)`;
}

/**
 * @param {string} address
 * @param {boolean} key
 */
function javascript(address, key) {
  const headers = key ? "\n  headers: { Authorization: `Bearer ${key}` }," : "";
  return `const answer = await fetch(${JSON.stringify(address)}, {
  method: "POST",${headers}
  body: file, // a File or Blob with an image
});
const { results } = await answer.json();
console.log(results[0].label, results[0].score, results[0].known);`;
}
