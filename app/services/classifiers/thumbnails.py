"""Thumbnails of stored images, each made once and kept while there is room."""

import threading
from collections import OrderedDict

from app.db.engine import Database
from app.imaging.reading import UnreadableImageError
from app.imaging.thumbnail import thumbnail
from app.services.classifiers import versions
from app.services.classifiers.versions import ImageUnreadableError
from app.storage import BlobStore

# Of about 5,000 thumbnails of 192 pixels.
_CAPACITY = 32 * 2**20


class Thumbnails:
    """The thumbnails that a process has made, up to so many bytes of them, the newest."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._capacity = capacity
        self._made: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, db: Database, store: BlobStore, workspace: str, sha256: str, side: int) -> bytes:
        """Return an image of the workspace, at most `side` pixels wide and high, as WebP.

        Raises ImageNotFoundError, ImageUnreadableError and StorageUnavailableError.
        """
        versions.require_image(db, workspace, sha256)
        found = self._find((sha256, side))
        if found is None:
            _, data = versions.image(db, store, workspace, sha256)
            try:
                found = thumbnail(data, side)
            except UnreadableImageError as error:
                raise ImageUnreadableError() from error
            self._keep((sha256, side), found)
        return found

    def _find(self, key: tuple[str, int]) -> bytes | None:
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
            return self._made.get(key)

    def _keep(self, key: tuple[str, int], made: bytes) -> None:
        with self._lock:
            if key not in self._made:
                self._made[key] = made
                self._bytes += len(made)
            while self._bytes > self._capacity:
                self._bytes -= len(self._made.popitem(last=False)[1])
