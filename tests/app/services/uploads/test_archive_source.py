"""How the folders of an archive are read as classes and splits."""

import io
import zipfile

import pytest

from app.services.uploads.archive_source import ArchiveSource
from app.services.uploads.collecting import NoUsableImagesError
from app.services.uploads.sources import Item, Rejection, UploadLimits, Warned, WrappingFolder
from app.settings import Settings
from tests.pictures import png

LIMITS = UploadLimits.of(Settings())


def source(*names: str, data: bytes = b"x") -> ArchiveSource:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"" if name.endswith("/") else data)
    return ArchiveSource(file, "zip")


def read(*names: str) -> tuple[list[tuple[str, str | None]], dict[str, str]]:
    """(label, split) of each item, and the reason for each rejected name."""
    items: list[tuple[str, str | None]] = []
    rejected: dict[str, str] = {}
    for found in source(*names).items(LIMITS):
        if isinstance(found, Item):
            items.append((found.label, found.split))
        elif isinstance(found, Rejection):
            rejected[found.name] = found.reason
    return items, rejected


def wrapping(*names: str, data: bytes = b"x") -> str | None:
    """The folder that is said to be taken off."""
    found = list(source(*names, data=data).items(LIMITS))
    said = [each.name for each in found if isinstance(each, WrappingFolder)]
    assert len(said) <= 1
    return said[0] if said else None


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


@pytest.mark.parametrize("around", ["a", "a/b", "home/me/signs"])
def test_several_wrapping_folders_are_taken_off_and_said(around: str) -> None:
    names = [f"{around}/go/1.png", f"{around}/stop/1.png", f"{around}/LICENSE"]
    items, rejected = read(*names)
    assert items == [("go", None), ("stop", None)]
    assert rejected == {f"{around}/LICENSE": "not in a folder named after a class"}
    assert wrapping(*names) == around


def test_wrapping_folders_around_the_splits() -> None:
    names = ["a/b/train/go/1.png", "a/b/test/go/2.png"]
    assert read(*names) == ([("go", "train"), ("go", "test")], {})
    assert wrapping(*names) == "a/b"
    assert wrapping("train/go/1.png") is None


@pytest.mark.parametrize(
    ("splits", "meant"),
    [
        (("train", "val", "test"), ("train", "test", "test")),
        (("Train", "Test"), ("train", "test")),
        (("training", "validation"), ("train", "test")),
        (("train", "valid"), ("train", "test")),
        (("val",), ("test",)),
    ],
)
def test_splits_may_have_other_names(splits: tuple[str, ...], meant: tuple[str, ...]) -> None:
    items, rejected = read(*(f"{split}/{label}/1.png" for split in splits for label in ("a", "b")))
    assert rejected == {}
    assert items == [(label, split) for split in meant for label in ("a", "b")]


def test_what_is_not_learnt_is_said() -> None:
    def said(*names: str) -> list[str]:
        return [each.text for each in source(*names).items(LIMITS) if isinstance(each, Warned)]

    assert said("train/go/1.png", "test/go/2.png") == []
    assert said("train/go/1.png", "val/go/2.png") == [
        "Images in 'val' are test images: measured on, and not learnt."
    ]
    assert said("train/1.png", "test/2.png") == [
        "'train', 'test' are classes, as images are in them and not in folders."
    ]


def test_folders_without_images_are_not_around_the_classes() -> None:
    names = ["signs/go/1.png", "signs/stop/2.png", "notes/go/1.mat", "notes/README"]
    items, rejected = read(*names)
    assert items == [("go", None), ("stop", None)]
    assert set(rejected) == {"notes/go/1.mat", "notes/README"}
    assert wrapping(*names) == "signs"
    assert read("train/go/1.png", "val/go/2.png", "labels/go/1.xml")[0] == [
        ("go", "train"),
        ("go", "test"),
    ]


@pytest.mark.parametrize("split", ["", "train/"])
def test_one_folder_too_many_in_that_of_each_class(split: str) -> None:
    names = [f"{split}{label}/images/1.png" for label in ("go", "stop")]
    assert [label for label, _ in read(*names, f"{split}go/boxes.txt")[0]][:2] == ["go", "stop"]
    with pytest.raises(NoUsableImagesError):
        read(f"{split}go/images/1.png", f"{split}stop/other/1.png")


@pytest.mark.parametrize("inside", ["blurry", "train", "a/b"])
def test_one_class_with_images_and_a_folder_is_no_wrapping_folder(inside: str) -> None:
    names = ["stop/0.png", "stop/1.png", f"stop/{inside}/0.png"]
    items, rejected = read(*names)
    assert items == [("stop", None)] * 2
    assert rejected == {f"stop/{inside}/0.png": "in a folder inside a class's folder"}
    assert wrapping(*names) is None


def test_a_class_with_images_inside_a_wrapping_folder() -> None:
    names = ["signs/stop/0.JPG", "signs/stop/blurry/0.jpg", "signs/README"]
    assert read(*names)[0] == [("stop", None)]
    assert wrapping(*names) == "signs"


@pytest.mark.parametrize("name", ["0", "0.HEIC", "0.jpeg.", "0.data"])
def test_an_image_is_known_by_its_name_or_bytes(name: str) -> None:
    names = [f"stop/{name}", "stop/blurry/0.png"]
    assert wrapping(*names, data=png(1)) is None


@pytest.mark.parametrize("name", ["notes", "labels.csv", "model.bin"])
def test_other_files_in_a_wrapping_folder(name: str) -> None:
    assert wrapping(f"signs/{name}", "signs/stop/0.png") == "signs"


@pytest.mark.parametrize("junk", ["@eaDir", ".thumbs", "__MACOSX"])
def test_junk_in_the_folder_of_the_only_class(junk: str) -> None:
    names = ["cat/0.png", f"cat/{junk}/0.png/SYNOPHOTO_THUMB_M.png", f"{junk}/cat/0.png"]
    assert read(*names) == ([("cat", None)], {})


def test_a_class_folder_with_only_a_folder_inside() -> None:
    assert read("stop/blurry/0.png") == ([("blurry", None)], {})
    assert wrapping("stop/blurry/0.png") == "stop"
    items, rejected = read("go/1.png", "stop/blurry/0.png")
    assert items == [("go", None)]
    assert set(rejected) == {"stop/blurry/0.png"}


def test_empty_folders_are_passed_over() -> None:
    assert read("signs/", "signs/empty/", "signs/go/", "signs/go/1.png")[0] == [("go", None)]
    assert read("empty/", "go/1.png") == ([("go", None)], {})


def test_pictures_of_trains() -> None:
    items, rejected = read("train/0.png", "train/blurry/0.png")
    assert items == [("train", None)]
    assert set(rejected) == {"train/blurry/0.png"}


def test_images_astray_in_the_splits() -> None:
    items, rejected = read("train/go/1.png", "train/0.png", "test/go/2.png")
    assert items == [("go", "train"), ("go", "test")]
    assert set(rejected) == {"train/0.png"}
    assert read("train/go/1.png", "test/notes.txt")[0] == [("go", "train")]


def test_a_wrapping_folder_that_is_written_in_two_ways() -> None:
    names = ["cafe\u0301s/go/1.png", "caf\xe9s/stop/1.png"]
    assert read(*names)[0] == [("go", None), ("stop", None)]
    assert wrapping(*names) == "caf\xe9s"


def test_folders_without_end() -> None:
    with pytest.raises(NoUsableImagesError, match="1 in a folder inside a class's folder"):
        read("a/" * 5000 + "1.png")


def grouped(*names: str) -> tuple[str | None, list[tuple[str, str | None, str | None]]]:
    """The folder that is taken off, and (label, split, group) of each item."""
    read = ArchiveSource(source(*names)._file, "zip", grouped=True)
    found = list(read.items(LIMITS))
    assert not [each for each in found if isinstance(each, Rejection)]
    said = [each.name for each in found if isinstance(each, WrappingFolder)]
    items = [(i.label, i.split, i.group) for i in found if isinstance(i, Item)]
    return said[0] if said else None, items


def test_folders_inside_those_of_the_classes_are_groups() -> None:
    assert grouped("go/t1/1.png", "go/t1/deep/2.png", "go/3.png", "stop/t1/4.png") == (
        None,
        [("go", None, "t1"), ("go", None, "t1"), ("go", None, None), ("stop", None, "t1")],
    )
    assert grouped("signs/go/t1/1.png", "signs/stop/2.png") == (
        "signs",
        [("go", None, "t1"), ("stop", None, None)],
    )
    # The only class is not around the classes, as it would be without groups.
    assert grouped("go/t1/1.png", "go/t2/2.png") == (
        None,
        [("go", None, "t1"), ("go", None, "t2")],
    )
    names = ("signs/train/go/t1/1.png", "signs/test/go/t2/1.png")
    assert grouped(*names) == ("signs", [("go", "train", "t1"), ("go", "test", "t2")])


def test_what_is_not_understood_is_refused_in_one_line() -> None:
    names = ["1.png", *(f"animals/{animal}/{i}.png" for animal in "ab" for i in range(200))]
    with pytest.raises(NoUsableImagesError) as caught:
        read(*names, "machines/car/1.png")
    assert str(caught.value).startswith(
        "No image is in a place that says its class: 401 in a folder inside a class's folder (such "
        "as animals/a/0.png); 1 not in a folder named after a class (such as 1.png). Understood "
        "are: a folder for each class"
    )
    assert not caught.value.errors
    assert read("1.png", "go/1.png") == (
        [("go", None)],
        {"1.png": "not in a folder named after a class"},
    )
