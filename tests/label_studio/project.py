"""A project with images whose classes are known, and a classifier as its ML backend."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.label_studio.server import LabelStudio


class Project:
    """A project that asks for the class of each image."""

    def __init__(self, label_studio: LabelStudio, images: Mapping[str, Sequence[bytes]]) -> None:
        """Make a project of images by their labels, which are the choices."""
        self.sent = label_studio.sent
        choices = "".join(f'<Choice value="{label}"/>' for label in images)
        config = (
            f'<View><Choices name="kind" toName="picture" showInline="true">{choices}</Choices>'
            '<Image name="picture" value="$image" maxWidth="480px"/></View>'
        )
        body = {"title": "Images", "label_config": config}
        self.id = self.sent("POST", "/api/projects/", json=body)["id"]
        for label, files in images.items():
            for number, file in enumerate(files):
                form = {"file": (f"{label}-{number}.png", file, "image/png")}
                self.sent("POST", f"/api/projects/{self.id}/import", files=form)
        # The labels of the images, by task.
        self.truth = {task["id"]: _label(task["data"]["image"]) for task in self._tasks()}

    def connect(self, url: str, classifier: str, key: str) -> dict[str, Any]:
        """Make a classifier of a service the ML backend, and return what Label Studio says."""
        backend = {
            "project": self.id,
            "url": f"{url}/label-studio/{classifier}",
            "title": "Accrue",
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": "accrue",
            "basic_auth_pass": key,
        }
        found: dict[str, Any] = self.sent("POST", "/api/ml", json=backend)
        self._backend = found["id"]
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
                assert (result["from_name"], result["to_name"]) == ("kind", "picture")
                assert 0 < prediction["score"] <= 1
                (found[prediction["task"]],) = result["value"]["choices"]
        return found

    def annotate(self, task: int, label: str, annotation: int | None = None) -> int:
        """Annotate a task, or change what an annotation says; return the annotation."""
        result = {
            "from_name": "kind",
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
        """Press Start Training."""
        self.sent("POST", f"/api/ml/{self._backend}/train", json={})

    def _tasks(self) -> list[dict[str, Any]]:
        query = {"project": self.id, "fields": "all", "page_size": 1000}
        found: list[dict[str, Any]] = self.sent("GET", "/api/tasks/", params=query)["tasks"]
        return found


def _label(url: str) -> str:
    """Return the label in /data/upload/1/7f3a9c12-LABEL-0.png, after the prefix of the upload."""
    return url.rpartition("/")[2].split("-")[-2]
