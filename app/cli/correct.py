"""`accrue correct`: changes labels of images that were sent before, or leaves images out."""

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from app.cli.options import DEFAULT_URL, KeyFile, Name, Url, connect
from app.cli.versions import described
from app.client.client import ClientError, classifier_path
from app.client.errors import CommandError
from app.client.jobs import follow, show_warnings

_SHA256 = re.compile("[0-9a-f]{64}")
# Where a refusal names an image by its place in the request.
_POINTER = re.compile(r"^  /images/(\d+)/\w+", re.MULTILINE)
# Images that are listed one by one.
_LISTED = 20


def correct(
    name: Name,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE... LABEL]",
            help="Images, by file name or SHA-256, and the class that all of them are of.",
            show_default=False,
        ),
    ] = None,
    *,
    leave_out: Annotated[
        bool,
        typer.Option("--leave-out", help="Leave the images out; no LABEL is given then."),
    ] = False,
    from_file: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="CSV file with an image and its label in each row; without a label the image is "
            "left out. - reads from the standard input.",
        ),
    ] = None,
    base_version: Annotated[
        int | None, typer.Option(help="Version to start from; else the live one.")
    ] = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Make a version in which images have other labels, without sending any image again."""
    console = Console(highlight=False)
    rows = _given(what or [], leave_out=leave_out)
    if from_file is not None:
        rows += _read(from_file)
    if not rows:
        raise CommandError("Name the images to correct and their label, or a file by --from.")
    images = [{"sha256": _hash_of(image), "label": label} for image, label in rows]
    request = {"kind": "correct", "images": images, "base_version": base_version}
    with connect(url, key_file) as client:
        try:
            job = client.post(f"{classifier_path(name)}/jobs", request)
        except ClientError as error:
            said = _POINTER.sub(lambda found: f"  {rows[int(found[1])][0]}", str(error))
            raise CommandError(said) from error
        job = follow(client, job, console)
        report = client.get(f"/v1/jobs/{job['id']}/report")
        version = client.get(f"{classifier_path(name)}/versions/{job['version']}")
        show_warnings(client, job["id"], console)
    _describe(report, [image for image, _ in rows], console)
    console.print(described(name, version))


def _given(what: Sequence[str], *, leave_out: bool) -> list[tuple[str, str | None]]:
    """Return (image, label) of the arguments, of which the last is the label."""
    if leave_out:
        return [(image, None) for image in what]
    if len(what) == 1:
        raise CommandError("Give the label after the images, or --leave-out.")
    return [(image, what[-1]) for image in what[:-1]]


def _read(source: str) -> list[tuple[str, str | None]]:
    """Return (image, label) of the rows of a CSV file. Images are named from its folder."""
    if source == "-":
        return _parsed(sys.stdin, source, Path())
    path = Path(source)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parsed(file, source, path.parent)
    except OSError as error:
        raise CommandError(f"Cannot read {source}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{source} is not UTF-8 text.") from error


def _parsed(lines: Iterable[str], source: str, folder: Path) -> list[tuple[str, str | None]]:
    rows = []
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row or (number == 1 and row[0].strip() in ("sha256", "image")):
            continue
        if len(row) > 2:
            raise CommandError(
                f"Line {number} of {source} has {len(row)} fields. It takes an image and a label; "
                "put a label with commas in quotes."
            )
        image = row[0].strip()
        named = image if _SHA256.fullmatch(image) else str(folder / image)
        rows.append((named, row[1].strip() or None if len(row) == 2 else None))
    return rows


def _hash_of(image: str) -> str:
    """Return the SHA-256 by which the server finds an image: given, or that of a file's pixels."""
    if _SHA256.fullmatch(image.lower()):
        return image.lower()
    # Slow to import, and other commands need no decoder.
    from app.imaging.reading import STORED, UnreadableImageError  # noqa: PLC0415
    from app.imaging.sanitise import sanitise  # noqa: PLC0415

    try:
        # The file as it is stored may be another one. Its pixels are the same.
        return sanitise(Path(image).read_bytes(), STORED).identity.pixels
    except OSError as error:
        raise CommandError(
            f"{image} is neither a SHA-256 nor a file that can be read: {error.strerror}."
        ) from error
    except UnreadableImageError as error:
        raise CommandError(f"{image} cannot be read: {error}.") from error


def _describe(report: Mapping[str, Any], names: Sequence[str], console: Console) -> None:
    for name, image in list(zip(names, report["images"], strict=True))[:_LISTED]:
        before = " and ".join(image["before"])
        now = "left out" if image["label"] is None else f"now {image['label']}"
        used = image["used"].replace("_", " ")
        console.print(f"{name}: {before}, {now} ({used})", markup=False, soft_wrap=True)
    uses = Counter(image["used"] for image in report["images"])
    if len(names) > _LISTED:
        counts = ", ".join(f"{count} {used.replace('_', ' ')}" for used, count in uses.items())
        console.print(f"… {len(names)} images in all: {counts}.")
    if residual := ", ".join(report["residual"]):
        console.print(
            f"The labels before may still show in what was trained with them: {residual}. To train "
            "without them, make a new classifier of corrected images."
        )
