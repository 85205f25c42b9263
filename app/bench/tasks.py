"""Folders of class folders as a sequence of tasks, each with images to learn and to measure on."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.client.errors import CommandError
from app.client.folder import Member, find_members
from app.services.labels import clean_label

# Of a class that brings no test images of its own, one image in five is kept to measure on.
_TEST_EVERY = 5


@dataclass(frozen=True)
class Task:
    """The classes of one learning step. Members are named ``split/label/file``."""

    labels: tuple[str, ...]
    members: tuple[Member, ...]

    def count(self, split: str) -> int:
        """Return how many images the split has."""
        return sum(member.name.startswith(f"{split}/") for member in self.members)

    def held_out(self, label: str) -> list[Path]:
        """Return the images of the class that are not learnt."""
        return [m.source for m in self.members if m.name.startswith(f"test/{label}/")]


def fingerprint(tasks: Sequence[Task]) -> str:
    """Return a digest of every file's place in the tasks, name and size."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(repr([(member.name, member.size) for member in task.members]).encode())
    return digest.hexdigest()


def read_tasks(
    folder: Path,
    classes_per_task: int,
    *,
    classes: int | None = None,
    order: int | None = None,
    images_per_class: int | None = None,
) -> list[Task]:
    """Group the folder's classes into tasks.

    They come in the order of their names or, with `order`, of NumPy's permutation for that seed, as
    in the field's protocols (1993); `classes` takes the first ones only and `images_per_class`
    bounds what is learnt. Raises CommandError when there are fewer than two tasks, or a class is
    too small to measure.
    """
    by_label = _by_label(folder, images_per_class)
    labels = sorted(by_label)
    if order is not None:
        labels = [labels[place] for place in np.random.RandomState(order).permutation(len(labels))]
    if classes is not None and classes > len(labels):
        raise CommandError(f"{folder} has {len(labels)} classes, not {classes}.")
    labels = labels[:classes]
    groups = [
        labels[start : start + classes_per_task]
        for start in range(0, len(labels), classes_per_task)
    ]
    if len(groups) < 2:
        raise CommandError(
            f"{len(labels)} classes, {classes_per_task} at a time, are one task; nothing can be "
            "forgotten before the second. Give more classes or a smaller --classes-per-task."
        )
    return [
        Task(tuple(group), tuple(member for label in group for member in by_label[label]))
        for group in groups
    ]


def folders_as_tasks(folders: Sequence[Path], images_per_class: int | None = None) -> list[Task]:
    """Make a task of each folder; its name goes before its labels, which then differ from others'.

    Raises CommandError as `read_tasks` does, and for folders of one name.
    """
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise CommandError(f"Folders that are tasks need different names, not {', '.join(names)}.")
    return [
        _named_after(name, _by_label(folder, images_per_class))
        for name, folder in zip(names, folders, strict=True)
    ]


def _named_after(name: str, by_label: dict[str, list[Member]]) -> Task:
    members = []
    for label, own in by_label.items():
        for member in own:
            split, _, rest = member.name.split("/", 2)
            members.append(replace(member, name=f"{split}/{name} {label}/{rest}"))
    return Task(tuple(f"{name} {label}" for label in by_label), tuple(members))


def _by_label(folder: Path, images_per_class: int | None) -> dict[str, list[Member]]:
    by_label: dict[str, list[Member]] = defaultdict(list)
    learnt: dict[str, int] = defaultdict(int)
    for member in map(_cleaned, _with_splits(find_members(folder))):
        split, label, _ = member.name.split("/", 2)
        if split == "train":
            learnt[label] += 1
            if images_per_class is not None and learnt[label] > images_per_class:
                continue
        by_label[label].append(member)
    for label, members in by_label.items():
        if {member.name.split("/")[0] for member in members} != {"train", "test"}:
            raise CommandError(f"The class {label} needs images to learn and to measure on.")
    return dict(sorted(by_label.items()))


def _cleaned(member: Member) -> Member:
    """Give a label the form in which the service will answer it."""
    split, label, rest = member.name.split("/", 2)
    try:
        return replace(member, name=f"{split}/{clean_label(label)}/{rest}")
    except ValueError as error:
        raise CommandError(f"{member.source} has a folder that is no class: {error}.") from error


def _with_splits(members: list[Member]) -> list[Member]:
    """Put a split before every name, unless the folder has train/ and test/ itself."""
    if {member.name.split("/")[0] for member in members} == {"train", "test"}:
        astray = [member.source for member in members if member.name.count("/") < 2]
        if astray:
            raise CommandError(f"{astray[0]} is in no class folder: put it into one, or remove it.")
        return members
    seen: dict[str, int] = defaultdict(int)
    named = []
    for member in members:
        label = member.name.split("/")[0]
        seen[label] += 1
        split = "train" if seen[label] % _TEST_EVERY else "test"
        named.append(replace(member, name=f"{split}/{member.name}"))
    return named
