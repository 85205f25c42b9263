"""Sends labelled images as an upload, part by part."""

import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any

from accrue_client.archives import files_in, is_archive, media_type, shards_in, split_of
from accrue_client.errors import (
    AccrueError,
    InvalidSourceError,
    LimitedError,
    NotAccrueError,
    NotAllTakenError,
    ProblemError,
    ServerUnreachableError,
    UnavailableError,
    UploadInterruptedError,
)
from accrue_client.folders import Skipped
from accrue_client.http_api import Api
from accrue_client.layouts import ask
from accrue_client.parts import form_of, parts_of
from accrue_client.progress import Sending, Tell
from accrue_client.sources import GroupBy, LabelledImage, LabelledImages, Split, collect
from accrue_client.steps import FileBody, Steps, work
from accrue_client.taking_back import take_back
from accrue_client.views import Upload

# What may be otherwise at another time.
_PASSING = (ServerUnreachableError, NotAccrueError, UnavailableError, LimitedError)
# Files of which the service is asked at most, as it takes no more in one request.
_MOST_FILES = 200_000


def upload(
    api: Api,
    source: Any,
    tell: Tell,
    *,
    label: str | None = None,
    split: Split | None = None,
    group: GroupBy | None = None,
    names: str | None = None,
    strict: bool = False,
    resume: str | None = None,
) -> Steps[Upload]:
    """Send images and return the upload that they make.

    `strict` takes all images or none. `resume` is the id of an upload that was cut off. Raises
    InvalidSourceError, UploadInterruptedError, UploadLeftError and ProblemError.
    """
    query: dict[str, Any] = {"group": group, "strict": strict or None}
    shards = [] if label is not None else (yield from work(lambda: _archives(source)))
    if shards:
        if resume is not None:
            raise InvalidSourceError(
                "An archive is sent as one request, so no part of it can have arrived: send it "
                "without resume, or unpack it and send the folder."
            )
        return (yield from _send_archives(api, shards, tell, split, {**query, "names": names}))
    found = yield from collect(api, source, label, group)
    if group == "folder":
        query["group"] = None  # each image of a form says its own
    return (yield from send(api, found, tell, split=split, query=query, resume=resume))


def _archives(source: Any) -> list[tuple[Path, Split | None]]:
    """Return the archives of a source, each with the split that its name says."""
    if is_archive(source) and not Path(source).is_dir():
        return [(Path(source), None)]
    if isinstance(source, (str, PathLike)) and Path(source).is_dir():
        return [(shard, split_of(shard)) for shard in shards_in(Path(source))]
    return []


def _send_archives(
    api: Api,
    archives: Sequence[tuple[Path, Split | None]],
    tell: Tell,
    split: Split | None,
    query: Mapping[str, Any],
) -> Steps[Upload]:
    """Send archives, and return the one upload that they make: of all that have images, or none."""
    answer: Any = None
    skipped: list[Skipped] = []
    try:
        for done, (archive, own) in enumerate(archives):
            upload_id = None if answer is None else answer["id"]
            tell(Sending(done, len(archives), upload_id, resumable=False))
            try:
                answer = yield from _send_archive(
                    api, archive, upload_id, {**query, "split": split or own}
                )
            except ProblemError as error:
                if error.code != "no-usable-images" or len(archives) == 1 or query.get("strict"):
                    raise
                skipped.append(Skipped(archive.name, error.detail))
    except AccrueError as error:
        if answer is not None:
            yield from take_back(api, answer["id"], error)
        raise
    if answer is None:
        raise InvalidSourceError(_all_skipped(skipped), skipped)
    return Upload.of({**answer, "skipped": skipped})


def _send_archive(
    api: Api, archive: Path, upload_id: str | None, query: Mapping[str, Any]
) -> Steps[Any]:
    """Send one archive to an upload, or to a new one, and return the upload."""
    size = yield from work(lambda: archive.stat().st_size)
    yield from _check(api, archive, query["group"])
    headers = {"Content-Type": media_type(archive), "Content-Length": str(size)}
    path = "/v1/uploads" if upload_id is None else f"/v1/uploads/{upload_id}/images"
    return (yield from api.post_bytes(path, FileBody(archive), headers, **query))


def _check(api: Api, archive: Path, group: GroupBy | None) -> Steps[None]:
    """Raise InvalidSourceError for an archive in which no image has a class, before it is sent."""
    try:
        files = yield from work(lambda: files_in(archive, _MOST_FILES + 1))
    except (OSError, EOFError, RuntimeError, tarfile.TarError, zipfile.BadZipFile, zlib.error):
        return  # the service says what is wrong with it
    if 0 < len(files) <= _MOST_FILES:
        yield from ask(api, files, group)


def send(
    api: Api,
    found: LabelledImages,
    tell: Tell,
    *,
    split: Split | None = None,
    query: Mapping[str, Any] = {},
    resume: str | None = None,
) -> Steps[Upload]:
    """Send images part by part, and return the upload. `query` goes with each part."""
    strict = query.get("strict")
    if strict and found.skipped:
        raise _not_all(found.skipped)
    sent = set() if resume is None else (yield from _names_sent(api, resume))
    left = [image for image in found.images if image.name not in sent]
    total, done = len(found.images), len(found.images) - len(left)
    upload_id, skipped = resume, list(found.skipped)
    answer = None if resume is None else (yield from api.get(f"/v1/uploads/{resume}"))
    try:
        for own, part in parts_of(left):
            tell(Sending(done, total, upload_id))
            answer = yield from _send_part(
                api, part, upload_id, {**query, "split": own or split}, skipped, answer
            )
            upload_id = None if answer is None else answer["id"]
            done += len(part)
    except AccrueError as error:
        if upload_id is None:
            raise
        if strict and not isinstance(error, _PASSING):
            yield from take_back(api, upload_id, error)
        raise UploadInterruptedError(
            f"{error}\n{done} of {total} images have arrived. Continue with resume={upload_id!r}.",
            upload_id,
        ) from error
    tell(Sending(total, total, upload_id))
    if answer is None:
        raise InvalidSourceError(_all_skipped(skipped), skipped)
    answer["wrapping_folder"] = answer.get("wrapping_folder") or found.wrapping_folder
    answer["warnings"] = [*found.warnings, *answer.get("warnings", ())]
    emptied = _emptied(found.images, skipped)
    return Upload.of({**answer, "skipped": skipped, "emptied_folders": emptied})


def _send_part(
    api: Api,
    part: Sequence[LabelledImage],
    upload_id: str | None,
    query: Mapping[str, Any],
    skipped: list[Skipped],
    so_far: Any,
) -> Steps[Any]:
    """Send one part and return the whole upload; what cannot be read is added to `skipped`."""
    form = yield from work(lambda: form_of(part))
    skipped += form.skipped
    if form.skipped and query.get("strict"):
        raise _not_all(form.skipped)
    if not form.images:
        return so_far
    path = "/v1/uploads" if upload_id is None else f"/v1/uploads/{upload_id}/images"
    try:
        return (yield from api.post_bytes(path, form.content, form.headers, **query))
    except ProblemError as error:
        # Of this part nothing is usable. Others may be, so it is said at the end.
        if error.code != "no-usable-images" or query.get("strict"):
            raise
        skipped += [Skipped(image.name, error.detail) for image in part]
        return so_far


def _not_all(skipped: Sequence[Skipped]) -> NotAllTakenError:
    return NotAllTakenError(
        f"{len(skipped)} of the files cannot be sent, and strict takes all or none: nothing was "
        "sent.",
        skipped,
    )


def _names_sent(api: Api, upload_id: str) -> Steps[set[str]]:
    images = yield from api.pages(f"/v1/uploads/{upload_id}/images", limit=1000)
    upload = yield from api.get(f"/v1/uploads/{upload_id}")
    return {each["name"] for each in (*images, *upload["rejected"])}


def _emptied(images: Sequence[LabelledImage], skipped: Sequence[Skipped]) -> list[str]:
    """Return the folders in which files were skipped and none is left."""
    lost = {each.name for each in skipped}
    sent = {
        str(folder)
        for image in images
        if image.name not in lost
        for folder in PurePosixPath(image.name).parents
    }
    folders = {str(PurePosixPath(each.name).parent) for each in skipped}
    return sorted(folders - sent - {"."})


def _all_skipped(skipped: Sequence[Skipped]) -> str:
    lines = [f"  {each.name}: {each.reason}" for each in skipped[:10]]
    return "\n".join(
        [
            "Not one image could be used. Put those of each class into a folder named after it.",
            *lines,
        ]
    )
