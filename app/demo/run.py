"""Runs the demo: teaches, compares, predicts and rolls back."""

import shlex
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
from app.demo.teaching import METHODS, TaughtClassifier, teach

EXEMPLARS_PER_CLASS = 10
# More make the table too long.
_SHOWN_IMAGES = 10
_LIVE_SECONDS = 10


@dataclass(frozen=True)
class DemoOptions:
    """What to teach and how. Without a `folder`, the handwritten digits are taught."""

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
        """What the images show, for the title of the picture."""
        return "Handwritten digits" if self.folder is None else self.folder.resolve().name


def run(options: DemoOptions, console: Console) -> list[TaughtClassifier]:
    """Start a service for the demo, and teach, compare, predict and roll back with it."""
    started = time.monotonic()
    with _data_dir(options) as data_dir:
        tasks = read_tasks(_images(options, data_dir), options.classes_per_task)
        # With images of 8 pixels a second thread gains nothing, and costs time on a busy machine.
        settings = {"ACCRUE_TRAIN_THREADS": "1"} if options.folder is None else {}
        with running_service(data_dir, **settings) as url, Client(url) as client:
            console.print(f"A service runs on {url},\nits data is in {data_dir}.\n")
            classifiers = teach(client, tasks, _settings(options, tasks), console)
            _compare(classifiers, options, console)
            _predict(client, tasks, classifiers, console)
            _roll_back(client, tasks, classifiers[-1], console)
        console.print(f"\nDone in {time.monotonic() - started:.0f} s.")
        _suggest(options, data_dir, console)
    return classifiers


@contextmanager
def _data_dir(options: DemoOptions) -> Iterator[Path]:
    if options.data_dir is not None:
        yield options.data_dir
    elif options.keep:
        yield Path(tempfile.mkdtemp(prefix="accrue-demo-"))
    else:
        with tempfile.TemporaryDirectory(prefix="accrue-demo-") as folder:
            yield Path(folder)


def _images(options: DemoOptions, data_dir: Path) -> Path:
    if options.folder is not None:
        return options.folder
    folder = data_dir / "digits"
    write_digits(folder)
    return folder


def _settings(options: DemoOptions, tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
    """Return the fields of each method's classifier."""
    # The tasks bring test images of their own, so the service holds none out.
    shared = {"augment": {"flip": options.flip}, "validation_fraction": 0}
    trained = shared | {
        "backbone": options.backbone,
        "image_size": options.image_size,
        "options": {"epochs": options.epochs},
        "memory": {"exemplars": EXEMPLARS_PER_CLASS * sum(len(task.labels) for task in tasks)},
    }
    # As a classifier made by name alone, but that digits of 8 pixels gain nothing from its 96.
    chosen = shared | ({"image_size": 64} if options.folder is None else {})
    return {method: chosen if method == "analytic" else trained for method in METHODS}


def _compare(
    classifiers: Sequence[TaughtClassifier], options: DemoOptions, console: Console
) -> None:
    console.print(
        "\nAccuracy in % on the held-out images of each task (columns)\n"
        "after each learning step (rows):\n"
    )
    console.print(tables.matrices(classifiers))
    draw(classifiers, options.subject, options.picture)
    console.print(f"\nThe same as a picture: [bold]{options.picture.absolute()}[/]", soft_wrap=True)


def _predict(
    client: Client, tasks: Sequence[Task], classifiers: Sequence[TaughtClassifier], console: Console
) -> None:
    task_of = {label: task for task in tasks for label in task.labels}
    shown = list(task_of)[:: -(-len(task_of) // _SHOWN_IMAGES)]
    images = [task_of[label].held_out(label)[0].read_bytes() for label in shown]
    answers = []
    for taught in classifiers:
        path = f"{classifier_path(taught.name)}/predict"
        # By number: for up to a second, an alias still serves the version before.
        answers.append(client.predict(path, images, version=taught.version)["results"])
    console.print("\nOne held-out image of each class:\n")
    console.print(
        tables.predictions(list(zip(shown, zip(*answers, strict=True), strict=True)), METHODS)
    )


def _roll_back(
    client: Client, tasks: Sequence[Task], taught: TaughtClassifier, console: Console
) -> None:
    newest = tasks[-1].labels[0]
    image = tasks[-1].held_out(newest)[0].read_bytes()
    console.print(f"\nRolling [bold]{taught.name}[/] back and forth, with an image of {newest}:\n")
    for number in (taught.version, taught.version - 1, taught.version):
        path = classifier_path(taught.name)
        client.put(f"{path}/aliases/live", {"version": number})
        result = _answer_of(client, f"{path}/predict", image, number)
        known = client.get(f"{path}/versions/{number}")["class_count"]
        console.print(f"  version {number}, which knows {known} classes, says {result['label']}")


def _answer_of(client: Client, path: str, image: bytes, version: int) -> dict[str, Any]:
    """Poll the alias `live` until it serves the version, and return its answer.

    Raises CommandError if that takes longer than `_LIVE_SECONDS`.
    """
    deadline = time.monotonic() + _LIVE_SECONDS
    while time.monotonic() < deadline:
        answer = client.predict(path, [image])
        if answer["version"] == version:
            result: dict[str, Any] = answer["results"][0]
            return result
        time.sleep(0.05)
    raise CommandError(
        f"Version {version} is still not served {_LIVE_SECONDS} s after the alias moved to it."
    )


def _suggest(options: DemoOptions, data_dir: Path, console: Console) -> None:
    serve = (
        (f"accrue up --data-dir {shlex.quote(str(data_dir.absolute()))}", "serves what was learnt")
        if options.keep or options.data_dir is not None
        else ("accrue up", "starts a service that stays")
    )
    suggestions = [
        serve,
        ("accrue learn NAME FOLDER", "teaches it your images, a folder a class"),
        ("accrue demo --data FOLDER", "runs this comparison on them"),
    ]
    # `make` runs the demo where `accrue` is not on the PATH, and perhaps from another folder.
    activate = Path(sys.prefix, "bin", "activate")
    if shutil.which("accrue") is None and activate.exists():
        suggestions.insert(0, (f". {shlex.quote(str(activate))}", "in each terminal"))
    width = max(len(command) for command, _ in suggestions)
    console.print("\nWhat to try next:")
    for command, purpose in suggestions:
        console.print(f"  {command:<{width}}  {purpose}", soft_wrap=True)
    console.print("The README does the same with curl.")
