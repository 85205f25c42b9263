"""What a body is: by its first bytes, and by its content type where these do not tell.

Clients name media types in many ways, or not at all: curl without -H says that everything is a
form, and a tar.gz is sent as application/x-tar, application/gzip or application/octet-stream.
"""

from typing import Literal

from app.api import json_text
from app.errors import ServiceError
from app.imaging.recognise import is_image

PackedKind = Literal["zip", "tar", "tar.gz", "parquet"]
BodyKind = PackedKind | Literal["form", "json", "image"]

# As many first bytes as are looked at: one block of a tar.
HEAD_BYTES = 512

_DECLARED: dict[str, BodyKind] = {
    "multipart/form-data": "form",
    "application/json": "json",
    "text/json": "json",
    "application/zip": "zip",
    "application/x-zip-compressed": "zip",
    "application/x-tar": "tar",
    "application/gzip": "tar.gz",
    "application/x-gzip": "tar.gz",
    "application/vnd.apache.parquet": "parquet",
}
_ARCHIVES: tuple[tuple[int, bytes, PackedKind], ...] = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"PK\x07\x08", "zip"),
    (0, b"\x1f\x8b", "tar.gz"),
    (0, b"PAR1", "parquet"),
    (257, b"ustar", "tar"),
)
_OTHER_ARCHIVES = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "RAR",
}


class UnsupportedBodyError(ServiceError, status=415, code="unsupported-media-type"):
    """The service does not read images from a body of that kind."""


def archive_kind(head: bytes) -> PackedKind | None:
    """Return what holds images and begins with `head`; None for anything else."""
    return next((kind for at, magic, kind in _ARCHIVES if head.startswith(magic, at)), None)


def kind_of(media_type: str, head: bytes) -> BodyKind | None:
    """Return what a body is that begins with `head`; None if neither that nor its type tells.

    Raises UnsupportedBodyError for compressed bodies and for archives that are not read.
    """
    declared = _DECLARED.get(media_type)
    found = archive_kind(head)
    if found == "tar.gz" and declared in ("form", "json"):
        raise UnsupportedBodyError("The body is compressed. Send it without Content-Encoding.")
    if found is not None:
        return found
    for magic, name in _OTHER_ARCHIVES.items():
        if head.startswith(magic):
            raise UnsupportedBodyError(f"{name} is not read. Send a zip, a tar or a tar.gz.")
    if is_image(head):
        return "image"
    if declared is not None:
        return declared
    if media_type.startswith("image/"):
        return "image"
    return "json" if json_text.is_likely(head) else None
