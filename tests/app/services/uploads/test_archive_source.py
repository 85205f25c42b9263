"""How the folders of an archive are read as classes and splits."""

import io
import zipfile

import pytest

from app.services.uploads.archive_source import ArchiveSource
from app.services.uploads.sources import Item, Rejection, UploadLimits
from app.settings import Settings

LIMITS = UploadLimits.of(Settings())


def read(*names: str) -> tuple[list[tuple[str, str | None]], dict[str, str]]:
    """(label, split) of each item, and the reason for each rejected name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"" if name.endswith("/") else b"x")
    items: list[tuple[str, str | None]] = []
    rejected: dict[str, str] = {}
    for found in ArchiveSource(file, "zip").items(LIMITS):
        if isinstance(found, Item):
            items.append((found.label, found.split))
        else:
            assert isinstance(found, Rejection)
            rejected[found.name] = found.reason
    return items, rejected


def test_a_folder_a_class() -> None:
    assert read("go/", "go/1.png", "stop/1.png") == ([("go", None), ("stop", None)], {})


def test_one_class_alone() -> None:
    assert read("stop/1.png", "stop/2.png") == ([("stop", None)] * 2, {})


@pytest.mark.parametrize("around", ["", "signs/"])
def test_train_and_test_are_the_splits(around: str) -> None:
    items, _ = read(f"{around}train/go/1.png", f"{around}test/go/2.png", f"{around}README.txt")
    assert items == [("go", "train"), ("go", "test")]


def test_one_split_alone() -> None:
    assert read("test/go/1.png", "test/stop/1.png")[0] == [("go", "test"), ("stop", "test")]


def test_classes_that_are_called_train_and_test() -> None:
    assert read("train/1.png", "test/1.png")[0] == [("train", None), ("test", None)]


def test_train_beside_another_folder_is_a_class() -> None:
    items, rejected = read("train/1.png", "bus/1.png", "train/go/1.png")
    assert items == [("train", None), ("bus", None)]
    assert "train/go/1.png" in rejected


def test_one_wrapping_folder_is_taken_off() -> None:
    items, rejected = read("signs/go/1.png", "signs/stop/1.png", "signs/notes.txt", "top.txt")
    assert items == [("go", None), ("stop", None)]
    assert rejected == {
        "signs/notes.txt": "not in a folder named after a class",
        "top.txt": "not in a folder named after a class",
    }


def test_two_wrapping_folders_are_not() -> None:
    assert read("a/b/go/1.png", "a/b/stop/1.png")[0] == []


def test_a_file_outside_any_folder_has_no_class() -> None:
    assert read("1.png") == ([], {"1.png": "not in a folder named after a class"})
