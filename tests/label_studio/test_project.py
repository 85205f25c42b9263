"""A project from its first images to a classifier that has learnt them, with a real Label Studio.

`make test-label-studio` installs that first.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Digits, Service, wait_for
from tests.label_studio.accrue import connected, key_of
from tests.label_studio.project import Project
from tests.label_studio.server import COMMAND, LabelStudio

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not COMMAND.is_file(), reason="run make test-label-studio"),
]

EACH = 12


@pytest.fixture
def label_studio(tmp_path: Path) -> Iterator[LabelStudio]:
    server = LabelStudio(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def accrue(tmp_path: Path, label_studio: LabelStudio) -> Iterator[Service]:
    service = connected(tmp_path, label_studio)
    yield service
    service.stop()


def test_a_project_is_predicted_and_learnt(
    label_studio: LabelStudio, accrue: Service, digits: Digits
) -> None:
    accrue.create("digits")
    accrue.learn("digits", digits.zip([0, 1]))
    images = {
        str(label): [path.read_bytes() for path in digits.images(label)[-EACH:]]
        for label in range(3)
    }
    project = Project(label_studio, images)
    backend = project.connect(accrue.url, "digits", key_of(accrue))
    assert (backend["state"], backend["model_version"]) == ("CO", "digits 1")

    # Pre-annotations: of classes that are known.
    found = project.predicted("digits 1")
    assert len(found) == 3 * EACH
    old = [task for task, label in project.truth.items() if label != "2"]
    assert sum(found[task] == project.truth[task] for task in old) > 0.9 * len(old)
    assert "2" not in found.values()

    # What people annotate is learnt: a new class, and more images of known ones.
    wrong, *_ = [task for task, label in project.truth.items() if label == "0"]
    annotations = {
        task: project.annotate(task, "1" if task == wrong else label)
        for task, label in project.truth.items()
    }
    project.train()
    assert job_of(accrue, "learn")["version"] == 2
    wait_for(lambda: accrue.predict("digits", digits.held_out(2))["version"] == 2)
    again = project.predicted("digits 2")
    twos = [task for task, label in project.truth.items() if label == "2"]
    assert sum(again[task] == "2" for task in twos) > 0.8 * len(twos)

    # What is annotated anew is corrected.
    project.annotate(wrong, "0", annotations[wrong])
    project.train()
    assert job_of(accrue, "correct")["version"] == 3

    # Nothing else is new.
    body = {"action": "START_TRAINING", "project": {"id": project.id}}
    answer = accrue.http.post("/label-studio/digits/webhook", json=body).raise_for_status().json()
    assert answer["status"] == "nothing_new"
    assert answer["annotated"] == answer["known"] == 3 * EACH


def job_of(accrue: Service, kind: str) -> dict[str, Any]:
    """The newest job, which is of that kind, at its end."""
    (newest, *_) = accrue.http.get("/v1/jobs").raise_for_status().json()["data"]
    assert newest["kind"] == kind
    job = accrue.finished(newest["id"])
    assert job["state"] == "succeeded", job
    return job
