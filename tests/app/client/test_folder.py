"""The images of a folder, as a comparison reads them."""

from pathlib import Path

import pytest

from app.client.errors import CommandError
from app.client.folder import ImageFile, find_images


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_junk_and_files_beside_the_classes_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "stop/a.png", "give way/sub/c.png", "stray.png", "stop/@eaDir/a.png/thumb.jpg")
    write(tmp_path, "__MACOSX/stop/a.png", "stop/Thumbs.db", ".git/config")
    assert find_images(tmp_path) == [
        ImageFile(tmp_path / name, name, 1) for name in ("give way/sub/c.png", "stop/a.png")
    ]


def test_nothing_to_send(tmp_path: Path) -> None:
    write(tmp_path, "stray.png")
    with pytest.raises(CommandError, match="There are no images in"):
        find_images(tmp_path)
    with pytest.raises(CommandError, match=r"none is not there\.$"):
        find_images(tmp_path / "none")
    with pytest.raises(CommandError, match="none is not there: it was looked for in /"):
        find_images(Path("none"))
    with pytest.raises(CommandError, match="is not a folder"):
        find_images(tmp_path / "stray.png")


def test_a_comparison_leaves_no_image_out(tmp_path: Path) -> None:
    write(tmp_path, "stop/a.png")
    (tmp_path / "stop/gone.png").symlink_to(tmp_path / "none")
    with pytest.raises(
        CommandError, match=r"stop/gone\.png cannot be used: cannot be read: no such"
    ):
        find_images(tmp_path)
