"""Listing a folder of labelled images."""

import os
from pathlib import Path

import pytest
from accrue_client.errors import InvalidSourceError
from accrue_client.folders import JUNK, FolderFile, Skipped, list_folder

from app.security import archives


def test_hidden_files_are_passed_over_and_files_without_a_suffix_are_looked_into(
    tmp_path: Path,
) -> None:
    contents = {
        "stop/b.png": b"b" * 700,
        "stop/a": b"\xff\xd8\xff\xe0rest",
        "LICENSE": b"text",
        ".git/config": b"hidden folder",
        "stop/.DS_Store": b"hidden file",
    }
    for name, data in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    listing = list_folder(tmp_path)
    # The order decides the order of training images, so it is the same on every machine.
    assert [(file.name, file.size, file.is_image) for file in listing.files] == [
        ("LICENSE", 4, False),
        ("stop/a", 8, True),
        ("stop/b.png", 700, None),
    ]
    with pytest.raises(InvalidSourceError, match=r"none is not there\."):
        list_folder(tmp_path / "none")
    with pytest.raises(InvalidSourceError, match=r"is not a folder.*label="):
        list_folder(tmp_path / "LICENSE")


def test_links_to_classes_and_images_are_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.png").write_bytes(b"x")
    folder = tmp_path / "signs"
    for path in ("train/go", "test"):
        (folder / path).mkdir(parents=True)
    (folder / "train/stop").symlink_to(elsewhere)
    (folder / "train/halt").symlink_to(elsewhere)
    (folder / "train/go/2.png").symlink_to(elsewhere / "1.png")
    (folder / "test/stop").symlink_to("../train/stop")
    listing = list_folder(folder)
    assert listing.skipped == []
    assert [file.name for file in listing.files] == [
        "test/stop/1.png",
        "train/go/2.png",
        "train/halt/1.png",
        "train/stop/1.png",
    ]
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    assert [file.name for file in list_folder(linked).files] == [
        file.name for file in listing.files
    ]


def test_links_in_a_circle_and_to_nothing_are_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "signs"
    (folder / "stop/deep/er").mkdir(parents=True)
    (folder / "stop/1.png").write_bytes(b"x")
    (folder / "all").symlink_to(folder)
    (folder / "stop/again").symlink_to(folder / "stop")
    (folder / "stop/up").symlink_to("..")
    (folder / "stop/deep/er/stop").symlink_to("/tmp")
    (folder / "gone").symlink_to(tmp_path / "none")
    (folder / "itself").symlink_to("itself")
    listing = list_folder(folder)
    assert [file.name for file in listing.files] == ["stop/1.png"]
    reasons = {skipped.name: skipped.reason for skipped in listing.skipped}
    circle = "a link to a folder that it is in"
    assert reasons == {
        "all": circle,
        "stop/again": circle,
        "stop/up": circle,
        "stop/deep/er/stop": "a link to a folder, inside a class's folder",
        "gone": "cannot be read: no such file or directory",
        "itself": "cannot be read: too many levels of symbolic links",
    }


def test_names_that_are_not_utf8_are_skipped_one_by_one(tmp_path: Path) -> None:
    for name in (b"r\xe9d/1.png", b"r\xead/2.png", b"go/\xe9.png", b"go/3.png"):
        path = tmp_path / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    listing = list_folder(tmp_path)
    assert [file.name for file in listing.files] == ["go/3.png"]
    reason = "its name is not UTF-8; rename it"
    assert listing.skipped == [
        Skipped(name, reason) for name in ("go/\\xe9.png", "r\\xe9d", "r\\xead")
    ]


def test_what_is_not_a_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "go").mkdir()
    (tmp_path / "go/1.png").write_bytes(b"x")
    os.mkfifo(tmp_path / "go/pipe")
    listing = list_folder(tmp_path)
    assert listing.files == [FolderFile(tmp_path / "go/1.png", "go/1.png", 1, None)]
    assert listing.skipped == [Skipped("go/pipe", "not a file")]


def test_what_desktops_leave_behind_is_neither_sent_nor_missed(tmp_path: Path) -> None:
    """An unreadable or empty folder of that kind would make `strict` refuse all."""
    (tmp_path / "a" / "@eaDir" / "1.png").mkdir(parents=True)
    (tmp_path / "a" / "@eaDir" / "1.png" / "SYNOPHOTO_THUMB_XL.jpg").write_bytes(b"thumbnail")
    (tmp_path / "a" / "1.png").write_bytes(b"image")
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"thumbnails")
    (tmp_path / "lost+found").mkdir()
    listing = list_folder(tmp_path)
    assert [file.name for file in listing.files] == ["a/1.png"]
    assert listing.skipped == []


def test_the_service_passes_over_the_same() -> None:
    assert JUNK == archives._JUNK
