"""Every kind of problem: what it means, and what to do.

What it means is the docstring of its error. The catalogue is shown at ``/problems`` and written to
docs/problems.md (`make problems`).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import cleandoc

from app.errors import ServiceError

# What to do, by code.
_REMEDIES = {
    "alias-not-found": "`GET /v1/classifiers/{name}/aliases` lists the aliases.",
    "bad-request": "Send a body that is whole and of its content type.",
    "body-too-large": "Send less at once: several uploads, or fewer images a prediction. The "
    "operator sets the limits `ACCRUE_MAX_BODY_MEGABYTES` and `ACCRUE_MAX_IMAGE_MEGABYTES`.",
    "cannot-correct": "The detail says which image, and why. Leave it out, or give it another "
    "label.",
    "cannot-evaluate": "Name a version that exists, and labelled images of classes; the detail "
    "says what is missing.",
    "cannot-export": "Download the version file instead, or use another backbone.",
    "cannot-forget": "Leave at least one class; or make a classifier with a method that forgets "
    "exactly, such as `analytic`.",
    "cannot-purge": "Move or delete the aliases that the detail names, or wait for the other job.",
    "class-already-learnt": 'Send `"on_existing": "extend"` to learn more images of the class, '
    "or use another label.",
    "class-not-found": "`GET /v1/classifiers/{name}/versions/{version}/classes` lists the classes.",
    "classifier-exists": "Choose another name, or use the classifier that is there.",
    "classifier-in-use": "Cancel its jobs, or wait until they have ended.",
    "classifier-not-found": "`GET /v1/classifiers` lists the classifiers of the key's workspace.",
    "classifier-required": "There are several classifiers: name one, with `?classifier=` or in "
    "the path.",
    "classify-not-offered": "Leave `classify` out, or choose a way that `GET /v1/methods` lists "
    "for the classifier's method.",
    "confirmation-required": "Send `?confirm=` with the classifier's name, if its versions may go.",
    "contradictory-labels": "Decide on one label for each image that the detail names, or send "
    "without `strict`.",
    "database-damaged": "Whoever runs the service finds with `accrue doctor --deep` what is "
    "wrong, and puts a backup in place with `accrue restore`.",
    "database-unavailable": "Try again after `Retry-After`. If it lasts, look at the database: "
    "`accrue doctor` says more.",
    "export-building": "Ask again after `Retry-After`: building goes on.",
    "foreign-site": "Use an address or `localhost` in the URL; list the page's site in "
    "`ACCRUE_CORS_ORIGINS`; or require keys with `ACCRUE_KEYS=required`.",
    "head-too-large": "Send fewer or shorter headers, and a shorter address.",
    "idempotency-key-reused": "Use a new key for another request, or repeat the first one byte "
    "by byte.",
    "image-not-found": "Hashes are in lists of images and exemplars. A purge deletes images for "
    "good.",
    "image-unreadable": "Send the same image again in any upload: that restores it. Or restore "
    "the storage from a backup.",
    "internal-error": "Repeat the request. If it fails again, send whoever runs the service the "
    "`instance`: the log has the cause under it.",
    "invalid-labelling-config": "The detail says what is missing. In Label Studio: Settings, "
    "Labeling Interface.",
    "invalid-options": "`errors` points at the wrong options; `GET /v1/methods` has their schema.",
    "invalid-request": "`errors` points at what is wrong.",
    "invalid-webhook": "Use https and a public address. The operator allows others with "
    "`ACCRUE_WEBHOOK_PRIVATE`.",
    "job-finished": "Nothing needs to be done: the job has ended by itself.",
    "job-not-found": "`GET /v1/jobs` lists the jobs of the key's workspace. Those of a deleted "
    "classifier are gone.",
    "job-not-retryable": "Make a new job.",
    "job-unreadable": "Upgrade what runs an older release, then make the job again.",
    "label-studio-failed": "The detail says what Label Studio did. The operator sets its address "
    "and token: `ACCRUE_LABEL_STUDIO_URL` and `ACCRUE_LABEL_STUDIO_TOKEN`.",
    "label-studio-stopped": "Start training again once the service runs.",
    "key-beyond-maker": "Ask for less, or make the key on the service's machine, with "
    "`accrue keys create`.",
    "key-name-taken": "Choose another name, or revoke the key that has it: "
    "`DELETE /v1/keys/{key_id}`.",
    "key-not-found": "`GET /v1/keys` lists the keys of the workspace.",
    "keys-off": "Whoever runs the service makes a key with `accrue keys create`, and turns keys "
    "on.",
    "live-alias": "Move it to another version instead: `PUT /v1/classifiers/{name}/aliases/live`.",
    "malformed-form": "Set no `Content-Type` yourself: what builds the form does, with the "
    "boundary.",
    "memory-too-small": "`PATCH` the classifier's `memory`: at least one exemplar a class.",
    "method-not-allowed": "The header `Allow` has the methods that the address takes.",
    "missing-scope": "Use a key with a scope that the detail names: `accrue keys create NAME "
    "--scope …`.",
    "no-heat-map": "Leave `explain` out, or make a classifier with a convolutional backbone.",
    "no-report": "Only jobs that forget, correct, evaluate or advise have a report, once they "
    "have succeeded.",
    "no-training-images": "Send images to train on: `split=test` and `test/` are only measured on.",
    "no-usable-images": "The detail says why: wrong formats, no class folders or no files at all.",
    "no-version-yet": "Teach the classifier first: `POST /v1/classifiers/{name}/learn`.",
    "not-acceptable": "Accept `application/json` or `text/event-stream`.",
    "not-an-evaluation": "Make a job of the kind `evaluate`, and wait until it has succeeded.",
    "not-found": "Look for the address in `/docs`. There is no slash at the end of addresses.",
    "not-judged": "Versions made from now on have it: learn, forget or correct once more.",
    "not-ready": "Wait for `Retry-After`; `accrue doctor` says what does not answer.",
    "page-not-found": "The page begins at `/`. The operator turns it on with `ACCRUE_WEB=on`.",
    "onnx-not-installed": "The operator installs what the detail names; or download the version "
    "file.",
    "queue-full": "Try again after `Retry-After`, with fewer images at once. More API processes "
    "(`ACCRUE_API_PROCESSES`) predict more.",
    "range-not-satisfiable": "`Content-Range` of the answer has the size of the file.",
    "rate-limited": "Wait for `Retry-After`. `GET /v1/key` says what is left.",
    "rejected-images": "`errors` names the images. Leave them out, or send without `strict`.",
    "request-in-progress": "Wait for the first answer, or ask again a little later.",
    "request-timeout": "Send again over a better connection, or send less at once.",
    "stale-alias": "Read the alias again, and decide anew.",
    "storage-changed": "Send the request again.",
    "storage-full": "Free space where the storage is, or delete uploads and versions.",
    "storage-quota": "Delete uploads or versions. `GET /v1/key` says what is left.",
    "storage-unavailable": "Try again; if it lasts, look at the storage: `accrue doctor` says "
    "more.",
    "task-is-frozen": "Teach new classes only, or use another method: this one never changes a "
    "task.",
    "tensors-unreadable": "Restore the storage from a backup, or take another version.",
    "too-many-connections": "Try again later, and reuse connections. The operator raises "
    "`ACCRUE_CONNECTIONS`.",
    "too-many-images": "Send several requests with fewer images each.",
    "too-many-jobs": "Wait until jobs have ended, or cancel some. `GET /v1/key` says what is left.",
    "too-many-parts": "Send many files as a zip or a tar.",
    "too-many-streams": "Try again later, or read the list of events. The operator raises "
    "`ACCRUE_EVENT_STREAMS`.",
    "unauthorized": "Send `Authorization: Bearer acr_…` with a key that is good: `accrue keys "
    "create` makes one.",
    "unknown-base-version": "`GET /v1/classifiers/{name}/versions` lists the versions.",
    "unknown-class": "`GET /v1/classifiers/{name}/versions/{version}/classes` lists the classes.",
    "unknown-image": "Take hashes from the version's exemplars, its held-out images or its "
    "suspects.",
    "unknown-task": "A version's classes say which task each is of; tasks count from 0.",
    "unknown-upload": "`GET /v1/uploads` lists the uploads. Used ones are removed after some days.",
    "unreadable-archive": "Make the zip or tar again, without a password and in one piece.",
    "unreadable-image": "The detail says what it is. Send a JPEG, PNG, WebP, BMP or GIF.",
    "unsafe-archive": "Make the archive again from a folder of plain files: no links, no "
    "absolute paths, no `..`.",
    "unsupported-media-type": "The detail says what is taken.",
    "upload-in-use": "Cancel the jobs that use it, or wait until they have ended.",
    "upload-not-found": "`GET /v1/uploads` lists the uploads. Used ones are removed after some "
    "days.",
    "version-in-use": "Move or delete the aliases that name it, and wait for its jobs.",
    "version-loading": "Try again after `Retry-After`. `pinned` keeps a live version loaded.",
    "version-not-found": "`GET /v1/classifiers/{name}/versions` lists the versions.",
    "version-unreadable": "The detail says whether its bytes are damaged or do not fit. Promote "
    "another version, or restore the storage from a backup.",
}


@dataclass(frozen=True)
class ProblemKind:
    """A kind of problem: its code, title and HTTP status, what it means and what to do."""

    code: str
    title: str
    status: int
    meaning: str
    remedy: str


def catalogue() -> dict[str, ProblemKind]:
    """Return the kinds of all problems that the service may answer with, by code."""
    kinds: dict[str, list[type[ServiceError]]] = defaultdict(list)
    for kind in _of_this_service(ServiceError):
        kinds[kind.code].append(kind)
    found = {}
    for code in sorted(kinds):
        same = sorted(kinds[code], key=lambda kind: kind.__name__)
        meanings = dict.fromkeys(cleandoc(kind.__doc__ or "").partition("\n\n")[0] for kind in same)
        meaning = " Or: ".join(text.replace("\n", " ") for text in meanings)
        remedy = _REMEDIES.get(code, "The detail says more.")
        found[code] = ProblemKind(code, same[0].title, same[0].status, meaning, remedy)
    return found


def _of_this_service(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    if kind.__module__.startswith("app."):
        yield kind
    for each in kind.__subclasses__():
        yield from _of_this_service(each)
