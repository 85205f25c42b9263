"""A folder of class folders as a tar stream."""

import io
import tarfile
from pathlib import Path

import pytest

from app.client.errors import CommandError
from app.client.folder import TarStream, find_images


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


def test_the_stream_is_a_tar_of_the_class_folders(folder: Path) -> None:
    stream = TarStream(find_images(folder))
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
    stream = TarStream(find_images(folder))
    (folder / "stop/a.png").write_bytes(b"a")
    with pytest.raises(CommandError, match=r"a\.png became shorter"):
        b"".join(stream)


def test_nothing_to_send(tmp_path: Path) -> None:
    (tmp_path / "stray.png").write_bytes(b"x")
    with pytest.raises(CommandError, match="There are no images in"):
        find_images(tmp_path)
    with pytest.raises(CommandError, match="is not a folder"):
        find_images(tmp_path / "none")
