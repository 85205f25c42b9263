"""Cuts folders of class folders into tasks, each with training and test images."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from app.client.errors import CommandError
from app.client.folder import ImageFile, find_images
from app.services.labels import clean_label

# A class without test images of its own has every fifth image measured on and not learnt.
_TEST_EVERY = 5

_File = TypeVar("_File")


@dataclass(frozen=True)
class Task:
    """The classes of one learning step. Members are named ``split/label/file``."""

    labels: tuple[str, ...]
    images: tuple[ImageFile, ...]

    def count(self, split: str) -> int:
        """Return the number of images in a split, ``train`` or ``test``."""
        return sum(image.name.startswith(f"{split}/") for image in self.images)

    def held_out(self, label: str) -> list[Path]:
        """Return the test images of a class."""
        return [image.source for image in self.images if image.name.startswith(f"test/{label}/")]


def fingerprint(tasks: Sequence[Task]) -> str:
    """Return a digest of the tasks and of the names and sizes of their files."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(repr([(image.name, image.size) for image in task.images]).encode())
    return digest.hexdigest()


def read_tasks(
    folder: Path,
    classes_per_task: int,
    *,
    classes: int | None = None,
    order: int | None = None,
    images_per_class: int | None = None,
) -> list[Task]:
    """Group the classes of a folder into tasks.

    Classes are sorted by name. With `order` they follow NumPy's permutation for that seed, as in
    published protocols (which use 1993). `classes` takes only the first ones; `images_per_class`
    limits the training images. Raises CommandError if there are fewer than two tasks, or a class
    lacks training or test images.
    """
    by_label = _by_label(folder, images_per_class)
    labels = sorted(by_label)
    if order is not None:
        labels = [labels[index] for index in np.random.RandomState(order).permutation(len(labels))]
    if classes is not None and classes > len(labels):
        raise CommandError(f"{folder} has {len(labels)} classes, not {classes}.")
    labels = labels[:classes]
    groups = [
        labels[start : start + classes_per_task]
        for start in range(0, len(labels), classes_per_task)
    ]
    if len(groups) < 2:
        raise CommandError(
            f"{len(labels)} classes, {classes_per_task} at a time, are one task, and a comparison "
            "needs two. Give more classes or a smaller --classes-per-task."
        )
    return [
        Task(tuple(group), tuple(image for label in group for image in by_label[label]))
        for group in groups
    ]


def folders_as_tasks(folders: Sequence[Path], images_per_class: int | None = None) -> list[Task]:
    """Make a task of each folder, and put the folder's name before its labels to keep them unique.

    Raises CommandError if two folders have one name, or a class lacks training or test images.
    """
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise CommandError(
            f"Each folder is a task and needs its own name; these are {', '.join(names)}."
        )
    return [
        _named_after(name, _by_label(folder, images_per_class))
        for name, folder in zip(names, folders, strict=True)
    ]


def _named_after(name: str, by_label: dict[str, list[ImageFile]]) -> Task:
    images = []
    for label, own in by_label.items():
        for image in own:
            split, _, rest = image.name.split("/", 2)
            images.append(replace(image, name=f"{split}/{name} {label}/{rest}"))
    return Task(tuple(f"{name} {label}" for label in by_label), tuple(images))


def _by_label(folder: Path, images_per_class: int | None) -> dict[str, list[ImageFile]]:
    by_label: dict[str, list[ImageFile]] = defaultdict(list)
    for image in map(_cleaned, _with_splits(find_images(folder))):
        by_label[image.name.split("/")[1]].append(image)
    if images_per_class is not None:
        by_label = {label: _spread(own, images_per_class) for label, own in by_label.items()}
    for label, images in by_label.items():
        if {image.name.split("/")[0] for image in images} != {"train", "test"}:
            raise CommandError(
                f"The class {label} needs images to learn and to measure on: at least one in "
                f"train/ and one in test/, or {_TEST_EVERY} without these folders."
            )
    return dict(sorted(by_label.items()))


def evenly(files: Sequence[_File], most: int) -> list[_File]:
    """Return up to `most` of the files, spread over all: neighbours may be frames of one film."""
    count = min(most, len(files))
    return [files[index * len(files) // count] for index in range(count)]


def _spread(images: list[ImageFile], most: int) -> list[ImageFile]:
    """Leave out training images above `most`."""
    learnt = [image for image in images if image.name.startswith("train/")]
    left_out = set(learnt) - set(evenly(learnt, most))
    return [image for image in images if image not in left_out]


def _cleaned(image: ImageFile) -> ImageFile:
    """Give the label the form in which the service stores it."""
    split, label, rest = image.name.split("/", 2)
    try:
        return replace(image, name=f"{split}/{clean_label(label)}/{rest}")
    except ValueError as error:
        raise CommandError(f"The folder of {image.source} cannot be a class: {error}.") from error


def _with_splits(images: list[ImageFile]) -> list[ImageFile]:
    """Put a split before every name, unless the folder has train/ and test/ itself."""
    if {image.name.split("/")[0] for image in images} == {"train", "test"}:
        astray = [image.source for image in images if image.name.count("/") < 2]
        if astray:
            raise CommandError(
                f"{astray[0]} is not in a class folder: move it into one, or remove it."
            )
        return images
    seen: dict[str, int] = defaultdict(int)
    named = []
    for image in images:
        label = image.name.split("/")[0]
        seen[label] += 1
        split = "train" if seen[label] % _TEST_EVERY else "test"
        named.append(replace(image, name=f"{split}/{image.name}"))
    return named
