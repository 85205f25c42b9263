"""A project from its first images to a classifier that has learnt them, with a real Label Studio.

`make test-label-studio` installs that first.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import ACCRUE, Digits, Service, wait_for
from tests.label_studio.server import COMMAND, LabelStudio

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not COMMAND.is_file(), reason="run make test-label-studio"),
]

CONFIG = """
<View>
  <Image name="picture" value="$image"/>
  <Choices name="digit" toName="picture">
    <Choice value="0"/><Choice value="1"/><Choice value="2"/>
  </Choices>
</View>
"""
EACH = 12


@pytest.fixture
def label_studio(tmp_path: Path) -> Iterator[LabelStudio]:
    server = LabelStudio(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def accrue(tmp_path: Path, label_studio: LabelStudio) -> Iterator[Service]:
    data = tmp_path / "accrue"
    subprocess.run([*ACCRUE, "migrate", "--data-dir", data], check=True)
    create = [*ACCRUE, "keys", "create", "ls", "--scope", "train", "--scope", "predict"]
    made = subprocess.run(
        [*create, "--data-dir", str(data)], check=True, capture_output=True, text=True
    )
    key = made.stdout.split()[-1]
    service = Service(
        data,
        ACCRUE_KEYS="required",
        ACCRUE_LABEL_STUDIO_URL=label_studio.url,
        ACCRUE_LABEL_STUDIO_TOKEN=label_studio.token,
    )
    service.http.headers["Authorization"] = f"Bearer {key}"
    yield service
    service.stop()


class Project:
    """A project with images of digits, and Accrue as its ML backend."""

    def __init__(self, label_studio: LabelStudio, accrue: Service, digits: Digits) -> None:
        self.sent = label_studio.sent
        body = {"title": "digits", "label_config": CONFIG}
        self.id = self.sent("POST", "/api/projects/", json=body)["id"]
        # Labels of the tasks, in the order of their images.
        self.truth: dict[int, str] = {}
        for label in range(3):
            files = [
                ("file", (f"{label}-{number}.png", path.read_bytes(), "image/png"))
                for number, path in enumerate(digits.images(label)[-EACH:])
            ]
            for file in files:
                self.sent("POST", f"/api/projects/{self.id}/import", files=[file])
        for task in self.tasks():
            self.truth[task["id"]] = task["data"]["image"].rpartition("-")[0][-1]
        key = accrue.http.headers["Authorization"].removeprefix("Bearer ")
        backend = {
            "project": self.id,
            "url": f"{accrue.url}/label-studio/digits",
            "title": "Accrue",
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": "accrue",
            "basic_auth_pass": key,
        }
        self.backend = self.sent("POST", "/api/ml", json=backend)

    def tasks(self) -> list[dict[str, Any]]:
        query = {"project": self.id, "fields": "all", "page_size": 100}
        found: list[dict[str, Any]] = self.sent("GET", "/api/tasks/", params=query)["tasks"]
        return found

    def predicted(self, model_version: str) -> dict[int, str]:
        """Ask for predictions of all tasks, and return those of a version by task."""
        action = {"id": "retrieve_tasks_predictions", "project": self.id}
        selected = {"selectedItems": {"all": True, "excluded": []}}
        self.sent("POST", "/api/dm/actions", params=action, json=selected)
        predictions = self.sent("GET", "/api/predictions/", params={"project": self.id})
        found = {}
        for prediction in predictions:
            if prediction["model_version"] == model_version:
                (result,) = prediction["result"]
                assert (result["from_name"], result["to_name"]) == ("digit", "picture")
                assert 0 < prediction["score"] <= 1
                (found[prediction["task"]],) = result["value"]["choices"]
        return found

    def annotate(self, task: int, label: str, annotation: int | None = None) -> int:
        """Annotate a task, or change what an annotation says."""
        result = {
            "from_name": "digit",
            "to_name": "picture",
            "type": "choices",
            "value": {"choices": [label]},
        }
        body = {"result": [result]}
        if annotation is not None:
            self.sent("PATCH", f"/api/annotations/{annotation}/", json=body)
            return annotation
        return int(self.sent("POST", f"/api/tasks/{task}/annotations/", json=body)["id"])

    def train(self) -> None:
        self.sent("POST", f"/api/ml/{self.backend['id']}/train", json={})


def test_a_project_is_predicted_and_learnt(
    label_studio: LabelStudio, accrue: Service, digits: Digits
) -> None:
    accrue.create("digits")
    accrue.learn("digits", digits.zip([0, 1]))
    project = Project(label_studio, accrue, digits)
    assert (project.backend["state"], project.backend["model_version"]) == ("CO", "digits 1")

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
