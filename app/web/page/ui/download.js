// Downloads. A link cannot send a key, nor show what is wrong: then the file is fetched first.

import { send, url } from "../api/client.js";
import { key } from "../api/session.js";
import { h } from "../lib/dom.js";
import { signal } from "../lib/signals.js";
import { announce } from "./announce.js";
import { button, linkButton } from "./button.js";
import { problemNotice } from "./notice.js";

/**
 * Makes what downloads a file when it is clicked.
 * @param {string} label
 * @param {string} from path of the API
 * @param {string} name of the file
 * @param {{mayFail?: boolean}} [options] `mayFail`: the service may say why there is no such file
 */
export function downloadButton(label, from, name, { mayFail = false } = {}) {
  if (key.peek() === null && !mayFail)
    return linkButton(label, url(from), { icon: "file", download: name });
  const busy = signal(false);
  const problem = signal(/** @type {unknown} */ (null));
  async function fetchFile() {
    busy.value = true;
    problem.value = null;
    try {
      const answer = await send("GET", from);
      save(await answer.blob(), name);
      announce(`${name} is downloaded.`);
    } catch (error) {
      problem.value = error;
    } finally {
      busy.value = false;
    }
  }
  return [
    button(label, { icon: "file", disabled: () => busy.value, onclick: fetchFile }),
    () => (problem.value ? h("div", null, problemNotice(problem.value)) : null),
  ];
}

/**
 * @param {Blob} content
 * @param {string} name
 */
function save(content, name) {
  const address = URL.createObjectURL(content);
  h("a", { href: address, download: name }).click();
  // The browser reads it in its own time.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
