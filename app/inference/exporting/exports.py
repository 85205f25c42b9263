"""The files of versions that this process has built, one at a time."""

import hashlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from app.errors import ServiceError
from app.inference.errors import VersionUnreadableError
from app.inference.exporting.building import build
from app.inference.exporting.formats import SUFFIXES, Format
from app.inference.stored import StoredVersion
from app.processes import child
from app.settings import Settings

log = structlog.get_logger(__name__)

# How long a file is kept, for downloads that go on where they broke off. No longer: what it holds
# may have to be forgotten.
_KEPT_SECONDS = 600.0
# Of the largest networks, on a busy machine.
_BUILD_SECONDS = 900.0

# A version by its id, and the format of its file.
_Key = tuple[str, Format]


class OnnxNotInstalledError(ServiceError, status=501, code="onnx-not-installed"):
    """The server lacks the package that writes ONNX models."""


class CannotExportError(ServiceError, status=422, code="cannot-export"):
    """The version has something that the format cannot express."""


@dataclass(frozen=True)
class Built:
    """A file that is ready, and its ETag."""

    path: Path
    etag: str


class Exports:
    """Builds each version's file once, however many requests wait for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = TemporaryDirectory(prefix="accrue-exports-")
        # One at a time: each takes some times the memory of its version.
        self._thread = ThreadPoolExecutor(1, "export")
        self._lock = threading.Lock()
        self._files: dict[_Key, Future[Built]] = {}
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End what is being built, and delete all files. Blocks."""
        self._stopped.set()
        self._thread.shutdown(cancel_futures=True)
        self._folder.cleanup()

    def file(self, form: Format, classifier: str, stored: StoredVersion) -> "Future[Built]":
        """Return the future of a version's file.

        Raises OnnxNotInstalledError; the future raises CannotExportError and
        VersionUnreadableError.
        """
        if form == "onnx" and find_spec("onnx") is None:
            raise OnnxNotInstalledError(
                "This server cannot write ONNX models: have its operator install the package, with "
                "`pip install 'accrue[onnx]'`."
            )
        key = stored.id, form
        with self._lock:
            future = self._files.get(key)
            if future is None or (future.done() and future.exception() is not None):
                future = self._thread.submit(self._build, form, classifier, stored)
                self._files[key] = future
            return future

    def _build(self, form: Format, classifier: str, stored: StoredVersion) -> Built:
        path = Path(self._folder.name) / f"{stored.id}.{SUFFIXES[form]}"
        with child(build, self._settings, form, classifier, stored, path) as answer:
            failed = self._wait(answer)
        if failed is not None:
            reason, passing = failed
            log.warning("version_not_exported", version=stored.id, reason=reason)
            if passing:
                raise VersionUnreadableError(reason)
            raise CannotExportError(
                f"Version {stored.number} cannot be exported as {form}: {reason}. Use another "
                "backbone, or download its checkpoint."
            )
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        expiry = threading.Timer(_KEPT_SECONDS, self._expire, ((stored.id, form), path))
        expiry.daemon = True
        expiry.start()
        return Built(path, f'"{digest}"')

    def _wait(self, answer: Connection) -> tuple[str, bool] | None:
        """Return why the process has not built the file, and whether that may pass."""
        for _ in range(int(_BUILD_SECONDS)):
            if self._stopped.is_set():
                return "the server is shutting down", True
            if answer.poll(1.0):
                try:
                    found: tuple[str, bool] | None = answer.recv()
                except EOFError:
                    return "its process died, which is mostly for want of memory", False
                return found
        return f"it took longer than {_BUILD_SECONDS:.0f} seconds", False

    def _expire(self, key: _Key, path: Path) -> None:
        with self._lock:
            self._files.pop(key, None)
        path.unlink(missing_ok=True)
