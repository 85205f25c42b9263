"""Cuts labelled images into forms of bounded size, which are sent one after another."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self
from uuid import uuid4

from accrue_client.folders import Skipped
from accrue_client.sources import LabelledImage, Split

# Each part is in memory while it is sent, and sent again if the connection breaks.
PART_BYTES = 16 << 20
PART_IMAGES = 500
# Of images whose size is not known before they are loaded.
GUESSED_BYTES = 1 << 18


@dataclass(frozen=True)
class Form:
    """A multipart form of labelled images, and what could not be read."""

    content: bytes
    boundary: str
    images: int
    skipped: list[Skipped]

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request with this form."""
        return {"Content-Type": f"multipart/form-data; boundary={self.boundary}"}

    @classmethod
    def of(
        cls, pieces: Sequence[tuple[str, bytes, str | None]], images: int, skipped: list[Skipped]
    ) -> Self:
        """Join pieces: the name of a field, its bytes, and the name of a file."""
        boundary = uuid4().hex  # no image has it by chance
        joined = bytearray()
        for field, data, name in pieces:
            disposition = f'form-data; name="{field}"'
            if name is not None:
                disposition += f'; filename="{_escaped(name)}"'
            joined += f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
            joined += data + b"\r\n"
        joined += f"--{boundary}--\r\n".encode()
        return cls(bytes(joined), boundary, images, skipped)


def parts_of(
    images: Sequence[LabelledImage], limit: int = PART_BYTES
) -> Iterator[tuple[Split | None, list[LabelledImage]]]:
    """Yield images in parts of one split, of at most `limit` bytes or one image.

    Those of a split keep their order, and splits come in the order of their first image: a table
    may mix them.
    """
    by_split: dict[Split | None, list[LabelledImage]] = {}
    for image in images:
        by_split.setdefault(image.split, []).append(image)
    for split, same in by_split.items():
        part: list[LabelledImage] = []
        size = 0
        for image in same:
            expected = GUESSED_BYTES if image.size is None else image.size
            if part and (size + expected > limit or len(part) == PART_IMAGES):
                yield split, part
                part, size = [], 0
            part.append(image)
            size += expected
        if part:
            yield split, part


def form_of(images: Sequence[LabelledImage]) -> Form:
    """Load images and return them as a form. Leaves out what cannot be read, and says so."""
    pieces: list[tuple[str, bytes, str | None]] = []
    manifest, skipped = {}, []
    for image in images:
        try:
            data = image.load()
        except OSError as error:
            reason = f"cannot be read: {(error.strerror or str(error)).lower()}"
            skipped.append(Skipped(image.name, reason))
            continue
        entry = {"label": image.label}
        manifest[image.name] = entry if image.group is None else {**entry, "group": image.group}
        pieces.append(("files", data, image.name))
    fields = ("manifest", json.dumps(manifest, ensure_ascii=False).encode(), None)
    return Form.of([fields, *pieces], len(pieces), skipped)


def files_form(images: Sequence[bytes]) -> Form:
    """Return images without labels as a form."""
    pieces = [("files", data, str(number)) for number, data in enumerate(images)]
    return Form.of(pieces, len(pieces), [])


def _escaped(name: str) -> str:
    """Escape a file's name as browsers do (WHATWG)."""
    return name.translate({ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"})
