// Whether the service is ready, and what to do where it is not.

import { get } from "../../api/client.js";
import { h } from "../../lib/dom.js";
import { notice, problemNotice } from "../../ui/notice.js";
import { loading, resource } from "../../ui/resource.js";

export function health() {
  const ready = resource((signal) => get("health/ready", { signal }));
  const software = resource((signal) => get("version", { signal }));
  return h("div", null, () => {
    if (ready.problem.value) return problemNotice(ready.problem.value, () => void ready.reload());
    if (!ready.data.value) return loading();
    const version = software.data.value?.version;
    return notice(
      "good",
      "The service is ready",
      `Database, storage and queue answer and are whole.${version ? ` It is Accrue ${version}.` : ""}`,
    );
  });
}
