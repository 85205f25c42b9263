"""A version as one tar file to download: its tensors, and what is needed to use them.

The file is never written. The sizes of its members determine the position of each byte, so any byte
range can be sent at once, and later again with the same bytes.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import versions as version_rows
from app.db.rows import columns_of
from app.db.tables import Classifier, Version
from app.errors import ServiceError
from app.services import stored
from app.services.classifiers import accuracies, classifiers, versions
from app.storage import BlobMissingError, TensorStore, each

MANIFEST = "manifest.json"
# A part is read as a whole, so that its hash is checked, and then sent in chunks of this size.
_CHUNK_BYTES = 2**20


class TensorsUnreadableError(ServiceError, status=503, code="tensors-unreadable"):
    """The stored tensors of the version are gone or damaged."""

    def __init__(self) -> None:
        super().__init__(
            "The version's stored tensors are gone or damaged. Restore the storage from a backup."
        )


class TensorFile(BaseModel):
    """A file of tensors (safetensors) in the tar."""

    part: str
    file: str
    sha256: str
    size: int


class Column(BaseModel):
    """A class; its position in the manifest is its column in the head."""

    label: str
    index: int
    task: int


class VersionFileManifest(BaseModel):
    """The content of manifest.json. What changes later, such as aliases, is left out."""

    format: Literal[1] = 1
    classifier: str
    version: int
    created_at: datetime
    method: str
    spec: dict[str, Any]
    metrics: dict[str, Any]
    classes: list[Column]
    parts: list[TensorFile]


@dataclass(frozen=True)
class _Segment:
    """A range of the tar: bytes, or the blob of that hash."""

    size: int
    content: bytes | str


class VersionFile:
    """The tar file of one version."""

    def __init__(self, manifest: VersionFileManifest, store: TensorStore) -> None:
        self._store = store
        text = manifest.model_dump_json(indent=1).encode()
        # The manifest determines all other bytes.
        self.etag = f'"{hashlib.sha256(text).hexdigest()}"'
        self.name = f"{manifest.classifier}-{manifest.version}.tar"
        members: list[tuple[str, int, bytes | str]] = [(MANIFEST, len(text), text)]
        members += [(part.file, part.size, part.sha256) for part in manifest.parts]
        self._segments = list(_layout(members, int(manifest.created_at.timestamp())))
        self.size = sum(segment.size for segment in self._segments)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Return the bytes from `start` to before `end`, in chunks.

        Every part in the range is read and checked before the first chunk. Raises
        TensorsUnreadableError and StorageUnavailableError: before the first chunk, or while the
        chunks are read where a part is damaged in between. An answer that ends early is shorter
        than its Content-Length, so clients see that it is not whole.
        """
        touched = list(self._touched(start, end))
        parts = [content for _, _, content in touched if isinstance(content, str)]
        with stored.reading("tensors", TensorsUnreadableError()):
            # What is missing is found at once, and what is damaged only by reading it all.
            present = each(self._store, self._store.exists, parts)
            for sha256, there in zip(parts, present, strict=True):
                if not there:
                    raise BlobMissingError(sha256)
            for sha256 in parts:
                self._store.get(sha256)
        return self._chunks(touched)

    def _touched(self, start: int, end: int) -> Iterator[tuple[int, int, bytes | str]]:
        """Return (first byte, byte after the last, content) of the segments in the range."""
        at = 0
        for segment in self._segments:
            low, high = max(start - at, 0), min(end - at, segment.size)
            if low < high:
                yield low, high, segment.content
            at += segment.size

    def _chunks(self, touched: list[tuple[int, int, bytes | str]]) -> Iterator[bytes]:
        for low, high, content in touched:
            with stored.reading("tensors", TensorsUnreadableError()):
                data = self._store.get(content) if isinstance(content, str) else content
            for position in range(low, high, _CHUNK_BYTES):
                yield data[position : min(position + _CHUNK_BYTES, high)]


def find(
    db: Database, store: TensorStore, workspace: str, name: str, reference: str
) -> VersionFile:
    """Return the file of a version, by number or alias.

    Raises ClassifierNotFoundError and VersionNotFoundError.
    """
    with db.reading() as session:
        classifier = classifiers.require(session, workspace, name)
        version = versions.require(session, classifier, reference)
        return VersionFile(_manifest(session, classifier, version), store)


def _manifest(session: Session, classifier: Classifier, version: Version) -> VersionFileManifest:
    parts = version_rows.parts(session, version.id)
    sizes = version_rows.part_sizes(session, [version.id]).get(version.id, {})
    classes = version_rows.classes(session, [version.id])[version.id]
    return VersionFileManifest(
        **columns_of(version) | {"metrics": accuracies.whole(session, version, classes)},
        classifier=classifier.name,
        version=version.number,
        classes=[Column(**columns_of(row)) for row in classes],
        parts=[
            TensorFile(part=part, file=f"{part}.safetensors", sha256=sha256, size=sizes[sha256])
            for part, sha256 in sorted(parts.items())
        ],
    )


def _layout(members: list[tuple[str, int, bytes | str]], made_at: int) -> Iterator[_Segment]:
    """Return the segments of the tar: each member's header, content and padding, then the end."""
    for name, size, content in members:
        header = tarfile.TarInfo(name)
        header.size, header.mtime = size, made_at
        block = header.tobuf(tarfile.PAX_FORMAT)
        yield _Segment(len(block), block)
        yield _Segment(size, content)
        padding = bytes(-size % tarfile.BLOCKSIZE)
        yield _Segment(len(padding), padding)
    end = bytes(2 * tarfile.BLOCKSIZE)
    yield _Segment(len(end), end)
