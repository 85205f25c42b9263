"""Sends folders of images as uploads, and says what became of their files."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from app.cli.options import Group
from app.client.client import Client
from app.client.folder import ImageFile, Listing, TarStream
from app.client.uploads import rejected_lines

# Files and folders that are listed at most when they are not sent.
_SHOWN_SKIPPED = 100


def send(
    client: Client,
    images: list[ImageFile],
    console: Console,
    group: Group = None,
    query: Mapping[str, Any] = {},
) -> Any:
    """Make an upload of images, with a progress bar, and return it. Raises ClientError."""
    stream = TarStream(images)
    query = query if group is None else {**query, "group": group.value}
    columns = (TextColumn("uploading"), BarColumn(bar_width=24), DownloadColumn())
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        row = progress.add_task("", total=stream.length)

        def chunks() -> Iterator[bytes]:
            for chunk in stream:
                yield chunk
                progress.advance(row, len(chunk))

        return client.post_bytes("/v1/uploads", chunks(), stream.headers, **query)


def describe_skipped(listing: Listing, console: Console) -> None:
    """Print what of a folder is not sent, and why."""
    for skipped in listing.skipped[:_SHOWN_SKIPPED]:
        console.print(f"skipped {skipped.name}: {skipped.reason}", markup=False)
    if (more := len(listing.skipped) - _SHOWN_SKIPPED) > 0:
        console.print(f"skipped {more} more")
    for folder in listing.emptied:
        console.print(f"nothing of the folder {folder} can be sent", markup=False)


def describe_upload(upload: Mapping[str, Any], console: Console) -> None:
    """Print what became of an upload's files."""
    images, classes = upload["accepted"], len(upload["classes"])
    console.print(
        f"Uploaded {images} image{'s' * (images != 1)} of {classes} class{'es' * (classes != 1)} "
        f"({upload['duplicates']} duplicates, {upload['rejected_count']} rejected)"
        + (f", in {groups} groups." if (groups := upload.get("groups")) else ".")
    )
    if upload["wrapping_folder"] is not None:
        console.print(
            f"The folder {upload['wrapping_folder']} is around the folders of classes, and is not "
            "a class itself.",
            markup=False,
        )
    for line in rejected_lines(upload):
        console.print(line, markup=False)
    for message in upload["warnings"]:
        console.print(f"  warning: {message}", markup=False)
