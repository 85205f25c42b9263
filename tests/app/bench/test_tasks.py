"""Folders of class folders as tasks."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from app.bench.tasks import fingerprint, folders_as_tasks, read_tasks
from app.client.errors import CommandError


def fill(folder: Path, labels: str, train: int = 3, test: int = 2) -> Path:
    for split, count in (("train", train), ("test", test)):
        for label in labels:
            home = folder / split / label
            home.mkdir(parents=True)
            for number in range(count):
                (home / f"{number}.png").write_bytes(b"x")
    return folder


def test_classes_go_by_name_or_by_numpys_permutation(tmp_path: Path) -> None:
    folder = fill(tmp_path, "abcdef")
    assert [task.labels for task in read_tasks(folder, 4)] == [tuple("abcd"), ("e", "f")]
    drawn = ["abcdef"[place] for place in np.random.RandomState(1993).permutation(6)]
    tasks = read_tasks(folder, 2, classes=5, order=1993)
    assert [list(task.labels) for task in tasks] == [drawn[:2], drawn[2:4], drawn[4:5]]


def test_a_bound_takes_from_what_is_learnt_and_not_from_what_is_measured(tmp_path: Path) -> None:
    first, _ = read_tasks(fill(tmp_path, "abc"), 2, images_per_class=2)
    assert (first.count("train"), first.count("test")) == (4, 4)
    assert [path.name for path in first.held_out("a")] == ["0.png", "1.png"]


def test_what_is_learnt_is_spread_over_the_files(tmp_path: Path) -> None:
    for label in "ab":
        for split, count in (("train", 10), ("test", 1)):
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(count):
                (tmp_path / split / label / f"{number}.png").write_bytes(b"x")
    task, _ = read_tasks(tmp_path, 1, images_per_class=4)
    learnt = [image.source.stem for image in task.images if image.name.startswith("train")]
    assert learnt == ["0", "2", "5", "7"]


def test_one_image_in_five_is_measured_on_where_there_are_no_splits(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(11):
            (tmp_path / label / f"{number:02}.png").write_bytes(b"x")
    task, _ = read_tasks(tmp_path, 1)
    assert (task.count("train"), task.count("test")) == (9, 2)


def test_several_folders_are_a_task_each_and_their_labels_never_meet(tmp_path: Path) -> None:
    folders = [fill(tmp_path / "fruit", "ab"), fill(tmp_path / "tools", "bc")]
    fruit, tools = folders_as_tasks(folders, images_per_class=1)
    assert fruit.labels == ("fruit a", "fruit b")
    assert tools.labels == ("tools b", "tools c")
    assert {
        image.name.rsplit("/", 1)[0] for image in tools.images if image.name.startswith("train")
    } == {
        "train/tools b",
        "train/tools c",
    }
    assert len(tools.held_out("tools b")) == 2


def test_labels_are_as_the_service_keeps_them_and_other_images_are_told(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    folder = fill(tmp_path, "ab")
    for split in ("train", "test"):
        (folder / split / "b").rename(folder / split / f"{decomposed} ")
    tasks = read_tasks(folder, 1)
    assert [task.labels for task in tasks] == [("a",), ("é",)]
    assert len(tasks[1].held_out("é")) == 2
    before = fingerprint(tasks)
    assert fingerprint(read_tasks(folder, 1)) == before
    (folder / "train" / "a" / "0.png").write_bytes(b"another")
    assert fingerprint(read_tasks(folder, 1)) != before


def test_what_cannot_be_compared_says_why(tmp_path: Path) -> None:
    folder = fill(tmp_path / "one", "ab")
    with pytest.raises(CommandError, match="are one task"):
        read_tasks(folder, 2)
    with pytest.raises(CommandError, match="has 2 classes, not 3"):
        read_tasks(folder, 1, classes=3)
    other = fill(tmp_path / "other" / "one", "cd")
    with pytest.raises(CommandError, match="needs its own name"):
        folders_as_tasks([folder, other])
    (folder / "train" / "stray.png").write_bytes(b"x")
    with pytest.raises(CommandError, match=r"stray\.png is not in a class folder"):
        read_tasks(folder, 1)
    (folder / "train" / "stray.png").unlink()
    for image in (folder / "test" / "a").iterdir():
        image.unlink()
    with pytest.raises(CommandError, match="a cannot be used: an empty folder"):
        read_tasks(folder, 1)
    (folder / "test" / "a").rmdir()
    with pytest.raises(CommandError, match="class a needs images to learn and to measure on"):
        read_tasks(folder, 1)
