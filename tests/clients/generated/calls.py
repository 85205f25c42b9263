"""Calls of a client that openapi-python-client made: python calls.py URL ZIP PNG."""

import io
import sys
from pathlib import Path

from accrue_generated import Client
from accrue_generated.api.classifiers import create_classifier
from accrue_generated.api.jobs import get_job, learn, list_jobs
from accrue_generated.api.predict import predict_with
from accrue_generated.api.uploads import create_upload
from accrue_generated.models import (
    JobPage,
    LearnView,
    NewClassifier,
    PredictView,
    Problem,
    ProblemCode,
    State,
    UploadView,
)
from accrue_generated.types import File

url, archive, image = sys.argv[1:]
client = Client(base_url=url)


def file(path: str) -> File:
    """The bytes of a file as they are."""
    return File(payload=io.BytesIO(Path(path).read_bytes()))


made = create_classifier.sync(client=client, body=NewClassifier(name="generated"))
assert made.name == "generated"
again = create_classifier.sync(client=client, body=NewClassifier(name="generated"))
assert isinstance(again, Problem), again
assert again.code == ProblemCode.CLASSIFIER_EXISTS

upload = create_upload.sync(client=client, body=file(archive))
assert isinstance(upload, UploadView), upload
assert upload.accepted == 2

job = learn.sync("generated", client=client, body=file(archive))
assert isinstance(job, LearnView), job
assert get_job.sync(job.id, client=client).state in (State.QUEUED, State.RUNNING)
page = list_jobs.sync(client=client, state=[State.QUEUED])
assert isinstance(page, JobPage), page
assert [each.id for each in page.data] == [job.id]

found = predict_with.sync("signs", client=client, body=file(image))
assert isinstance(found, PredictView), found
assert found.results[0].label in ("stop", "yield")
