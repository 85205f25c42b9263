"""Sends folders of images as uploads, and says what became of their files."""

from collections.abc import Sequence
from pathlib import Path

from accrue_client.archives import is_archive
from accrue_client.errors import NotAllTakenError, UploadInterruptedError
from accrue_client.folders import Skipped
from accrue_client.progress import Sending, Told
from accrue_client.sources import GroupBy
from accrue_client.uploading import upload
from accrue_client.views import Upload
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from app.cli.options import Group
from app.client.client import Client
from app.client.errors import CommandError
from app.client.uploads import rejected_lines

# Files that are named one by one when they are not sent for the same reason.
_NAMED = 3


def send(
    client: Client,
    folder: Path,
    console: Console,
    group: Group = None,
    *,
    strict: bool = False,
    resumable: bool = False,
    resume: str | None = None,
) -> Upload:
    """Make an upload of a folder, with a progress bar, and say what became of its files.

    Raises ClientError and CommandError. An upload that is interrupted stays if it is `resumable`
    by the option --resume of the command, and is deleted otherwise.
    """
    columns = (TextColumn("uploading"), BarColumn(bar_width=24), MofNCompleteColumn())
    quiet = not console.is_terminal
    upload_id = resume
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        row = progress.add_task("", total=None)

        def tell(told: Told) -> None:
            nonlocal upload_id, resumable
            if isinstance(told, Sending):
                upload_id, resumable = told.upload_id, resumable and told.resumable
                progress.update(row, completed=told.done, total=told.total)

        named: GroupBy | None = None if group is None else group.value
        try:
            sent = client.run(
                upload(client.api, folder, tell, group=named, strict=strict, resume=resume)
            )
        except KeyboardInterrupt:
            if upload_id is not None and resumable:
                console.print(f"To continue this upload: --resume {upload_id}")
            elif upload_id is not None:
                discard(client, upload_id, console)
            raise
        except CommandError as error:
            stopped = error.__cause__
            if isinstance(stopped, UploadInterruptedError) and not resumable:
                discard(client, stopped.upload_id, console)
            raise _explained(error, console, resumable=resumable) from error
    _describe(sent, console)
    return sent


def check(folder: Path) -> None:
    """Raise CommandError for what is not a folder or an archive, before anything is asked for."""
    if not folder.is_dir() and not (is_archive(folder) and folder.is_file()):
        raise CommandError(f"{folder} is not a folder. Give one, a zip or tar of one, or Parquet.")


def discard(client: Client, upload_id: str, console: Console) -> None:
    """Delete an upload that is not needed any more; say so where it stays."""
    try:
        client.delete(f"/v1/uploads/{upload_id}")
    except CommandError as error:
        console.print(
            f"The upload {upload_id} stays, as it could not be deleted: {error}\n"
            f"Delete it by DELETE /v1/uploads/{upload_id}.",
            markup=False,
        )


def _explained(error: CommandError, console: Console, *, resumable: bool) -> CommandError:
    """Return the error of an upload in the words of the command line."""
    match error.__cause__:
        case UploadInterruptedError(upload_id=upload_id):
            said = str(error).partition(" Continue with")[0]
            if not resumable:
                return CommandError(said)
            return UploadStoppedError(f"{said} Continue with --resume {upload_id}")
        case NotAllTakenError(skipped=skipped):
            describe_skipped(skipped, console)
            return CommandError(
                "Not everything can be sent, so --strict refuses it: nothing was sent."
            )
    return error


class UploadStoppedError(CommandError):
    """An upload was cut off, and can be continued."""


def describe_skipped(skipped: Sequence[Skipped], console: Console) -> None:
    """Print what of a folder is not sent, and why: a line for each file, or for many of a kind."""
    by_reason: dict[str, list[str]] = {}
    for each in skipped:
        by_reason.setdefault(each.reason, []).append(each.name)
    for reason, names in by_reason.items():
        if len(names) <= _NAMED:
            for name in names:
                console.print(f"skipped {name}: {reason}", markup=False)
        else:
            first = ", ".join(names[:_NAMED])
            console.print(f"skipped {len(names)}: {reason} ({first}, …)", markup=False)


def _describe(upload: Upload, console: Console) -> None:
    """Print what became of an upload's files."""
    describe_skipped(upload.skipped, console)
    for folder in upload.emptied_folders:
        console.print(f"nothing of the folder {folder} can be sent", markup=False)
    images, classes = upload.accepted, len(upload.classes)
    console.print(
        f"Uploaded {images} image{'s' * (images != 1)} of {classes} class{'es' * (classes != 1)} "
        f"({upload.duplicates} duplicates, {upload.rejected_count} rejected)"
        + (f", in {upload.groups} groups." if upload.groups else ".")
    )
    if upload.wrapping_folder is not None:
        console.print(
            f"The folder {upload.wrapping_folder} is around the folders of classes, and is not "
            "a class itself.",
            markup=False,
        )
    for line in rejected_lines(upload):
        console.print(line, markup=False)
    for message in upload.warnings:
        console.print(f"  warning: {message}", markup=False)
