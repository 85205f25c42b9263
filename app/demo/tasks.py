"""A folder of class folders as a sequence of tasks, each with images to learn and to measure on."""

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from app.cli.errors import CommandError
from app.cli.folder import Member, find_members

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

    def held_out(self, label: str) -> Path:
        """Return one image of the class that is not learnt."""
        return next(m.source for m in self.members if m.name.startswith(f"test/{label}/"))


def read_tasks(folder: Path, classes_per_task: int) -> list[Task]:
    """Group the folder's classes, in the order of their names, into tasks.

    Raises CommandError when there are fewer than two tasks, or a class is too small to measure.
    """
    by_label: dict[str, list[Member]] = defaultdict(list)
    for member in _with_splits(find_members(folder)):
        by_label[member.name.split("/")[1]].append(member)
    for label, members in by_label.items():
        if {member.name.split("/")[0] for member in members} != {"train", "test"}:
            raise CommandError(f"The class {label} needs images to learn and to measure on.")
    labels = sorted(by_label)
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


def _with_splits(members: list[Member]) -> list[Member]:
    """Put a split before every name, unless the folder has train/ and test/ itself."""
    if {member.name.split("/")[0] for member in members} == {"train", "test"}:
        return members
    seen: dict[str, int] = defaultdict(int)
    named = []
    for member in members:
        label = member.name.split("/")[0]
        seen[label] += 1
        split = "train" if seen[label] % _TEST_EVERY else "test"
        named.append(replace(member, name=f"{split}/{member.name}"))
    return named
