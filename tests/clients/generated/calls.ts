// Calls of the clients that @hey-api/openapi-ts and openapi-typescript made: URL ZIP PNG.
import assert from "node:assert";
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import { createClient as createHey } from "./hey/client";
import { createClassifier, createUpload, getJob, learn, predictWith } from "./hey/sdk.gen";
import type { paths } from "./document";

const [url = "", archive = "", image = ""] = process.argv.slice(2);
const zip = new Blob([readFileSync(archive)]);
const png = new Blob([readFileSync(image)]);
const client = createHey({ baseUrl: url });
// Bytes as they are: the generators have types and serializers for JSON.
const raw = { client, bodySerializer: null, headers: { "Content-Type": "application/octet-stream" } };

const made = await createClassifier({ client, body: { name: "hey" } });
assert.equal(made.data?.name, "hey");
const again = await createClassifier({ client, body: { name: "hey" } });
assert.equal(again.error?.code, "classifier-exists");
const upload = await createUpload({ ...raw, body: zip as never });
assert.equal(upload.data?.accepted, 2);
const job = await learn({ ...raw, path: { name: "hey" }, body: zip as never });
const shown = await getJob({ client, path: { job_id: job.data?.id ?? "" } });
assert.equal(shown.data?.state, "queued");
const found = await predictWith({ ...raw, path: { name: "signs" }, body: png as never });
assert.equal(found.data?.results.length, 1);

const typed = createClient<paths>({ baseUrl: url });
const jobs = await typed.GET("/v1/jobs", { params: { query: { state: ["queued"] } } });
assert.equal(jobs.data?.data[0]?.classifier, "hey");
const none = await typed.GET("/v1/jobs/{job_id}", { params: { path: { job_id: "none" } } });
assert.equal(none.error?.code, "job-not-found");
const sent = await typed.POST("/v1/uploads", {
  body: zip as unknown as string,
  bodySerializer: (body) => body,
  headers: { "Content-Type": "application/octet-stream" },
});
assert.equal(sent.data?.accepted, 2);
