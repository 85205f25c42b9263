"""The demo from beginning to end."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from app.bench.tasks import Task, read_tasks
from app.client.client import Client, classifier_path
from app.client.errors import CommandError
from app.demo import tables
from app.demo.digits import write_digits
from app.demo.picture import draw
from app.demo.server import running_service
from app.demo.teaching import METHODS, Course, teach

EXEMPLARS_PER_CLASS = 10
# As many held-out images as a table shows well.
_SHOWN_IMAGES = 10
_LIVE_SECONDS = 10


@dataclass(frozen=True)
class Plan:
    """What to teach and how. Without a folder of its own it is the handwritten digits."""

    folder: Path | None
    classes_per_task: int
    image_size: int
    backbone: str
    epochs: int
    flip: bool
    data_dir: Path | None
    keep: bool
    picture: Path

    @property
    def subject(self) -> str:
        """What the images are."""
        return "Handwritten digits" if self.folder is None else self.folder.resolve().name


def run(plan: Plan, console: Console) -> list[Course]:
    """Teach, compare, predict and roll back against a service of the demo's own."""
    started = time.monotonic()
    with _data_dir(plan) as data_dir:
        tasks = read_tasks(_images(plan, data_dir), plan.classes_per_task)
        with running_service(data_dir, **_service_settings(plan)) as url, Client(url) as client:
            console.print(f"A service runs on {url},\nits data is in {data_dir}.\n")
            courses = teach(client, tasks, _settings(plan, tasks), console)
            _compare(courses, plan, console)
            _predict(client, tasks, courses, console)
            _roll_back(client, tasks, courses[-1], console)
        console.print(f"\nDone in {time.monotonic() - started:.0f} s.")
        _suggest(plan, data_dir, console)
    return courses


@contextmanager
def _data_dir(plan: Plan) -> Iterator[Path]:
    if plan.data_dir is not None:
        yield plan.data_dir
    elif plan.keep:
        yield Path(tempfile.mkdtemp(prefix="accrue-demo-"))
    else:
        with tempfile.TemporaryDirectory(prefix="accrue-demo-") as folder:
            yield Path(folder)


def _images(plan: Plan, data_dir: Path) -> Path:
    if plan.folder is not None:
        return plan.folder
    folder = data_dir / "digits"
    write_digits(folder)
    return folder


def _service_settings(plan: Plan) -> dict[str, str]:
    # Images of 8 pixels leave a second thread little to do, and it waits badly on a busy machine.
    return {"ACCRUE_TRAIN_THREADS": "1"} if plan.folder is None else {}


def _settings(plan: Plan, tasks: Sequence[Task]) -> dict[str, Any]:
    return {
        "backbone": plan.backbone,
        "image_size": plan.image_size,
        "options": {"epochs": plan.epochs},
        "memory": {"exemplars": EXEMPLARS_PER_CLASS * sum(len(task.labels) for task in tasks)},
        "augment": {"flip": plan.flip},
        # The tasks bring their own test images, so that every other image is learnt.
        "validation_fraction": 0,
    }


def _compare(courses: Sequence[Course], plan: Plan, console: Console) -> None:
    console.print(
        "\nAccuracy in % on the held-out images of each task (columns)\n"
        "after each learning step (rows):\n"
    )
    console.print(tables.matrices(courses))
    draw(courses, plan.subject, plan.picture)
    console.print(f"\nThe same as a picture: [bold]{plan.picture}[/]")


def _predict(
    client: Client, tasks: Sequence[Task], courses: Sequence[Course], console: Console
) -> None:
    labels = [label for task in tasks for label in task.labels]
    shown = labels[:: -(-len(labels) // _SHOWN_IMAGES)]
    images = {
        label: next(task for task in tasks if label in task.labels).held_out(label)[0]
        for label in shown
    }
    files = [(label, image.read_bytes()) for label, image in images.items()]
    # By number: an alias may still name the version before, for up to a second.
    answers = [
        client.post_files(f"{classifier_path(course.name)}/predict", files, version=course.version)[
            "results"
        ]
        for course in courses
    ]
    console.print("\nOne held-out image of a class each:\n")
    console.print(
        tables.predictions(list(zip(shown, zip(*answers, strict=True), strict=True)), METHODS)
    )


def _roll_back(client: Client, tasks: Sequence[Task], course: Course, console: Console) -> None:
    newest = tasks[-1].labels[0]
    image = tasks[-1].held_out(newest)[0].read_bytes()
    console.print(f"\nRolling [bold]{course.name}[/] back and forth, with an image of {newest}:\n")
    for number in (course.version, course.version - 1, course.version):
        path = classifier_path(course.name)
        client.put(f"{path}/aliases/live", {"version": number})
        result = _answer_of(client, f"{path}/predict", image, number)
        known = len(client.get(f"{path}/versions/{number}")["classes"])
        console.print(f"  version {number}, which knows {known} classes, says {result['label']}")


def _answer_of(client: Client, path: str, image: bytes, version: int) -> dict[str, Any]:
    """Ask what is served until it is the version: an alias follows within a second."""
    deadline = time.monotonic() + _LIVE_SECONDS
    while time.monotonic() < deadline:
        answer = client.post_files(path, [("image", image)])
        if answer["version"] == version:
            result: dict[str, Any] = answer["results"][0]
            return result
        time.sleep(0.05)
    raise CommandError(f"Version {version} is not served {_LIVE_SECONDS} s after the alias moved.")


def _suggest(plan: Plan, data_dir: Path, console: Console) -> None:
    accrue = "accrue" if shutil.which("accrue") else sys.argv[0]
    serve = (
        (f"{accrue} up --data-dir {data_dir}", "serves what was learnt")
        if plan.keep or plan.data_dir is not None
        else (f"{accrue} up", "starts a service that stays")
    )
    suggestions = [
        serve,
        (f"{accrue} learn NAME FOLDER", "teaches it your images, a folder a class"),
        (f"{accrue} demo --data FOLDER", "runs this comparison on them"),
    ]
    width = max(len(command) for command, _ in suggestions)
    console.print("\nWhat to try next:")
    for command, purpose in suggestions:
        console.print(f"  {command:<{width}}  {purpose}", soft_wrap=True)
    console.print("README.md does the same with curl.")
