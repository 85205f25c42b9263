"""A folder of class folders as a tar stream."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from app.client.errors import CommandError
from app.client.folder import OUTSIDE, ImageFile, Skipped, TarStream, find_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    contents = {
        "stop/b.png": b"b" * 700,
        "stop/a.png": b"a" * 512,
        "give way/sub/c.png": b"",
        "ünïcode/" + "n" * 120 + ".png": b"long",
        ".git/config": b"hidden folder",
        "stop/.DS_Store": b"hidden file",
        "stray.png": b"belongs to no class",
    }
    for name, data in contents.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def listed(folder: Path) -> list[str]:
    return [image.name for image in find_images(folder).images]


def test_the_stream_is_a_tar_of_the_class_folders(folder: Path) -> None:
    stream = TarStream(find_images(folder).images)
    data = b"".join(stream)
    assert len(data) == stream.length == int(stream.headers["Content-Length"])
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        read = {member.name: archive.extractfile(member).read() for member in archive}
    assert read == {
        "give way/sub/c.png": b"",
        "stop/a.png": b"a" * 512,
        "stop/b.png": b"b" * 700,
        "ünïcode/" + "n" * 120 + ".png": b"long",
    }
    # The order decides the order of training images, so it is the same on every machine.
    assert list(read) == sorted(read)


def test_a_file_that_shrinks_meanwhile_is_not_padded(folder: Path) -> None:
    stream = TarStream(find_images(folder).images)
    (folder / "stop/a.png").write_bytes(b"a")
    with pytest.raises(CommandError, match=r"a\.png became shorter"):
        b"".join(stream)


def test_nothing_to_send(tmp_path: Path) -> None:
    (tmp_path / "stray.png").write_bytes(b"x")
    with pytest.raises(
        CommandError, match=r"(?s)There are no images in .*\n  skipped stray.png: not"
    ):
        find_images(tmp_path)
    with pytest.raises(CommandError, match="is not a folder"):
        find_images(tmp_path / "none")


def test_junk_is_not_sent(folder: Path) -> None:
    for name in ("stop/@eaDir/a.png/thumb.jpg", "__MACOSX/stop/a.png", "stop/Thumbs.db"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert listed(folder)[1:3] == ["stop/a.png", "stop/b.png"]
    assert find_images(folder).skipped == [Skipped("stray.png", OUTSIDE)]


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
    listing = find_images(folder)
    assert listing.skipped == []
    assert [image.name for image in listing.images] == [
        "test/stop/1.png",
        "train/go/2.png",
        "train/halt/1.png",
        "train/stop/1.png",
    ]
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    assert listed(linked) == [image.name for image in listing.images]


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
    listing = find_images(folder)
    assert [image.name for image in listing.images] == ["stop/1.png"]
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
    listing = find_images(tmp_path)
    assert [image.name for image in listing.images] == ["go/3.png"]
    reason = "its name is not UTF-8; rename it"
    assert listing.skipped == [
        Skipped(name, reason) for name in ("go/\\xe9.png", "r\\xe9d", "r\\xead")
    ]


def test_folders_of_which_nothing_is_left_are_named(tmp_path: Path) -> None:
    for name in ("go", "stop", "halt/old", "yield"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "go/1.png").write_bytes(b"x")
    for name in ("go/2.png", "stop/1.png", "stop/2.png", "halt/old/1.png"):
        (tmp_path / name).symlink_to(tmp_path / "none")
    (tmp_path / "halt/2.png").write_bytes(b"x")
    (tmp_path / "yield/.hidden").write_bytes(b"x")
    listing = find_images(tmp_path)
    assert listing.emptied == ["halt/old", "stop"]
    assert Skipped("yield", "an empty folder") in listing.skipped


def test_what_is_not_a_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "go").mkdir()
    (tmp_path / "go/1.png").write_bytes(b"x")
    os.mkfifo(tmp_path / "go/pipe")
    listing = find_images(tmp_path)
    assert listing.images == [ImageFile(tmp_path / "go/1.png", "go/1.png", 1)]
    assert listing.skipped == [Skipped("go/pipe", "not a file")]
