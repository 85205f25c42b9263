"""What can be asked of the service, as operations. `client` and `async_client` offer them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from accrue_client.errors import NotAccrueError, ProblemError, ServerUnreachableError
from accrue_client.http_api import Api, classifier_path
from accrue_client.progress import Tell
from accrue_client.steps import Steps
from accrue_client.taking_back import left, take_back
from accrue_client.uploading import upload
from accrue_client.views import (
    Advice,
    ClassifierView,
    EvaluatedImage,
    EvaluationView,
    JobView,
    JudgedImage,
    KeyView,
    Suspect,
    Upload,
    VersionView,
)
from accrue_client.waiting import report, wait

ExportFormat = Literal["onnx", "torch"]
# What a version does with an image that it judges.
Used = Literal["held_out", "trained"]


def get_key(api: Api) -> Steps[KeyView]:
    """Return what the client's key may do."""
    return KeyView.of((yield from api.get("/v1/key")))


def create_classifier(api: Api, name: str, fields: Mapping[str, Any]) -> Steps[ClassifierView]:
    """Make a classifier."""
    made = yield from api.post("/v1/classifiers", {"name": name, **fields})
    return ClassifierView.of(made)


def get_classifier(api: Api, name: str) -> Steps[ClassifierView]:
    """Return a classifier."""
    return ClassifierView.of((yield from api.get(classifier_path(name))))


def list_classifiers(api: Api) -> Steps[list[ClassifierView]]:
    """Return all classifiers of the key's workspace."""
    return [ClassifierView.of(each) for each in (yield from api.pages("/v1/classifiers"))]


def update_classifier(api: Api, name: str, fields: Mapping[str, Any]) -> Steps[ClassifierView]:
    """Change fields of a classifier."""
    return ClassifierView.of((yield from api.patch(classifier_path(name), dict(fields))))


def learn(
    api: Api, name: str, source: Any, tell: Tell, job: Mapping[str, Any], **sending: Any
) -> Steps[tuple[JobView, Upload]]:
    """Send images, unless they are an upload already, and queue the job that learns them."""
    sent = yield from _sent(api, source, tell, sending)
    asked = {"kind": "learn", "uploads": [sent.id], **job}
    queued = yield from _or_deleted(api, source, sent, start_job(api, name, asked))
    return queued, sent


def _sent(api: Api, source: Any, tell: Tell, sending: Mapping[str, Any]) -> Steps[Upload]:
    """Return the upload of images; a source may be one already."""
    if isinstance(source, Upload):
        return source
    return (yield from upload(api, source, tell, **sending))


def _or_deleted(api: Api, source: Any, sent: Upload, start: Steps[JobView]) -> Steps[JobView]:
    """Return the job that is started. Where it is refused, what was sent for it is deleted.

    Raises UploadLeftError where that fails, or whether the job was started is not known.
    """
    try:
        return (yield from start)
    except ProblemError as error:
        if sent is not source:
            yield from take_back(api, sent.id, error)
        raise
    except (ServerUnreachableError, NotAccrueError) as error:
        if sent is not source:
            raise left(error, sent.id) from error
        raise


def start_job(api: Api, name: str, request: Mapping[str, Any]) -> Steps[JobView]:
    """Queue a job of a classifier. Fields that are None are left out."""
    body = {key: value for key, value in request.items() if value is not None}
    return JobView.of((yield from api.post(f"{classifier_path(name)}/jobs", body)))


def get_job(api: Api, job_id: str) -> Steps[JobView]:
    """Return a job as it is now."""
    return JobView.of((yield from api.get(f"/v1/jobs/{job_id}")))


def change_job(api: Api, job_id: str, action: str) -> Steps[JobView]:
    """Cancel or retry a job."""
    return JobView.of((yield from api.post(f"/v1/jobs/{job_id}/{action}")))


def get_version(api: Api, name: str, reference: int | str) -> Steps[VersionView]:
    """Return a version by its number or an alias."""
    path = f"{classifier_path(name)}/versions/{reference}"
    return VersionView.of((yield from api.get(path)))


def update_version(
    api: Api, name: str, version: int, fields: Mapping[str, Any]
) -> Steps[VersionView]:
    """Change what is noted about a version."""
    path = f"{classifier_path(name)}/versions/{version}"
    return VersionView.model_validate((yield from api.patch(path, dict(fields))))


def list_version_numbers(
    api: Api, name: str, since: datetime | None, metadata: Mapping[str, str] | None
) -> Steps[list[int]]:
    """Return the numbers of the versions made since a time, and that have the metadata."""
    asked = {
        "since": None if since is None else since.astimezone().isoformat(),
        "metadata": None if metadata is None else json.dumps(dict(metadata)),
    }
    found = yield from api.pages(f"{classifier_path(name)}/versions", **asked)
    return [each["number"] for each in found]


def evaluate(
    api: Api,
    name: str,
    version: int,
    source: Any,
    tell: Tell,
    request: Mapping[str, Any],
    **sending: Any,
) -> Steps[tuple[str, Upload | None, EvaluationView]]:
    """Measure a version on images, or on those it holds out.

    Return the job's id, the upload of the images if there is one, and the report.
    """
    asked: dict[str, Any] = {"kind": "evaluate", "base_version": version, **request}
    sent = None
    if source is None:
        job = yield from start_job(api, name, asked)
    else:
        sent = yield from _sent(api, source, tell, sending)
        start = start_job(api, name, {**asked, "uploads": [sent.id]})
        job = yield from _or_deleted(api, source, sent, start)
    yield from wait(api, job.id, tell)
    return job.id, sent, EvaluationView.of((yield from report(api, job.id)))


def evaluated_images(api: Api, job_id: str, wrong: bool | None) -> Steps[list[EvaluatedImage]]:
    """Return the images of an evaluation, the most surely wrong first."""
    found = yield from api.pages(f"/v1/jobs/{job_id}/images", wrong=wrong, limit=1000)
    return [EvaluatedImage.of(each) for each in found]


def suspects(api: Api, name: str, version: int) -> Steps[list[Suspect]]:
    """Return the images whose label is likely to be wrong."""
    path = f"{classifier_path(name)}/versions/{version}/suspects"
    return [Suspect.of(each) for each in (yield from api.pages(path, limit=1000))]


def judged(
    api: Api,
    name: str,
    version: int,
    used: Used | None,
    label: str | None,
    predicted: str | None,
    wrong: bool | None,
) -> Steps[list[JudgedImage]]:
    """Return what a version says of images that it judges, the most surely wrong first."""
    path = f"{classifier_path(name)}/versions/{version}/judged"
    asked = {"used": used, "label": label, "predicted": predicted, "wrong": wrong, "limit": 1000}
    return [JudgedImage.of(each) for each in (yield from api.pages(path, **asked))]


def exemplars(api: Api, name: str, version: int, label: str | None) -> Steps[list[dict[str, Any]]]:
    """Return the exemplars of one or all classes, in the order in which they were chosen."""
    path = f"{classifier_path(name)}/versions/{version}/exemplars"
    return (yield from api.pages(path, label=label, limit=1000))


def promote(api: Api, name: str, version: int, alias: str) -> Steps[None]:
    """Make an alias name a version."""
    yield from api.put(f"{classifier_path(name)}/aliases/{alias}", {"version": version})


def download(api: Api, name: str, version: int, to: Path) -> Steps[None]:
    """Write the version file, a tar archive."""
    yield from api.save(f"{classifier_path(name)}/versions/{version}/checkpoint", to)


def export(api: Api, name: str, version: int, to: Path, format: ExportFormat) -> Steps[None]:
    """Write the version as a model for other programs."""
    path = f"{classifier_path(name)}/versions/{version}/export"
    yield from api.save(path, to, format=format)


def advise(
    api: Api, source: Any, tell: Tell, seconds: float | None, **sending: Any
) -> Steps[tuple[Upload, Advice]]:
    """Measure which method, backbone and image size to choose; return the upload of the images too.

    The upload stays, so that what was advised can learn it.
    """
    sent = yield from _sent(api, source, tell, sending)
    asked = {"uploads": [sent.id]} | ({} if seconds is None else {"seconds": seconds})
    job = yield from _or_deleted(api, source, sent, _start_advice(api, asked))
    yield from wait(api, job.id, tell)
    return sent, Advice.of((yield from report(api, job.id)))


def _start_advice(api: Api, asked: Mapping[str, Any]) -> Steps[JobView]:
    return JobView.of((yield from api.post("/v1/advice", asked)))


def corrections(labels: Mapping[str, str | None]) -> Sequence[Mapping[str, str | None]]:
    """Return corrections as a job takes them: by the hash of an image, its label or None."""
    return [{"sha256": sha256, "label": label} for sha256, label in labels.items()]


def made(job: JobView) -> tuple[str, int]:
    """Return the classifier and number of the version that a job made. Raises ValueError."""
    if job.classifier is None or job.version is None:
        raise ValueError(f"A job of the kind {job.kind} makes no version; see its report().")
    return job.classifier, job.version
