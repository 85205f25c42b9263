"""Lists the files of a folder of labelled images."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from accrue_client.errors import InvalidSourceError

# Splits, groups and folders around everything are above that.
_DEEPEST_LINK = 3
_DEEPEST = 100
# The first bytes of images, for files whose name does not say what they are.
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
_LATER_SIGNATURES = (b"ftyp", b"jP  ")  # HEIC, AVIF and JPEG 2000, behind four bytes

# What desktops and network storage leave beside the files of people. The service has the same list.
JUNK = frozenset(
    {
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        # Beside the exports of Roboflow.
        "readme.roboflow.txt",
        "readme.dataset.txt",
    }
)


@dataclass(frozen=True)
class FolderFile:
    """A file, its path below the folder with slashes, and whether its first bytes are an image's.

    `is_image` is None where its name has a suffix, which says it.
    """

    source: Path
    name: str
    size: int
    is_image: bool | None


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is not sent, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """The files of a folder, sorted by path, and what is skipped."""

    files: list[FolderFile]
    skipped: list[Skipped]


def list_folder(folder: Path) -> Listing:
    """List all files but hidden ones and `JUNK`. Follows links to files and to folders of classes.

    Raises InvalidSourceError if `folder` is not a folder.
    """
    if not folder.is_dir():
        raise InvalidSourceError(_not_a_folder(folder))
    listing = Listing([], [])
    for found in _walk(folder, (), ()):
        if isinstance(found, Skipped):
            listing.skipped.append(found)
        else:
            listing.files.append(found)
    return listing


def _not_a_folder(folder: Path) -> str:
    if not folder.exists():
        where = "" if folder.is_absolute() else f": it was looked for in {Path.cwd()}"
        return f"{folder} is not there{where}."
    return (
        f"{folder} is not a folder. Give a folder with a folder for each class, or an archive of "
        "one; of a single image, say its class too (label=)."
    )


def _walk(
    folder: Path, path: tuple[str, ...], above: tuple[tuple[int, int], ...]
) -> Iterator[FolderFile | Skipped]:
    """List a folder that is at `path` below the first one, inside the folders `above`."""
    try:
        status = folder.stat()
        entries = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        yield Skipped(_shown("/".join(path)), _unreadable(error))
        return
    above = (*above, (status.st_dev, status.st_ino))
    entries = [entry for entry in entries if not _is_junk(entry)]
    if path and not entries:
        yield Skipped("/".join(path), "an empty folder")
    for entry in entries:
        yield from _list(folder / entry, (*path, entry), above)


def _list(
    source: Path, path: tuple[str, ...], above: tuple[tuple[int, int], ...]
) -> Iterator[FolderFile | Skipped]:
    """List one entry of a folder."""
    name = "/".join(path)
    try:
        status = source.stat()
        is_folder = stat.S_ISDIR(status.st_mode)
        if _shown(path[-1]) != path[-1]:
            reason: str | None = "its name is not UTF-8; rename it"
        elif is_folder:
            reason = _wrong_with_folder(source, path, (status.st_dev, status.st_ino) in above)
        else:
            reason = _wrong_with_file(source, status.st_mode)
        if reason is not None:
            yield Skipped(_shown(name), reason)
        elif is_folder:
            yield from _walk(source, path, above)
        else:
            yield FolderFile(source, name, status.st_size, _looks_like_image(source))
    except OSError as error:
        yield Skipped(_shown(name), _unreadable(error))


def _wrong_with_folder(source: Path, path: tuple[str, ...], in_itself: bool) -> str | None:
    if in_itself:
        return "a link to a folder that it is in"
    # Links that branch further down would multiply the files.
    if source.is_symlink() and len(path) > _DEEPEST_LINK:
        return "a link to a folder, inside a class's folder"
    return "too many folders inside one another" if len(path) > _DEEPEST else None


def _wrong_with_file(source: Path, mode: int) -> str | None:
    if not stat.S_ISREG(mode):
        return "not a file"
    return None if os.access(source, os.R_OK) else "cannot be read: permission denied"


def _looks_like_image(source: Path) -> bool | None:
    if source.suffix:
        return None
    with source.open("rb") as file:
        head = file.read(16)
    return head.startswith(_SIGNATURES) or head.startswith(_LATER_SIGNATURES, 4)


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK


def _shown(name: str) -> str:
    """Return a name with bytes that are not UTF-8 as ``\\xe9``."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {(error.strerror or str(error)).lower()}"
