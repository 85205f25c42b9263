"""Celery's filesystem transport with atomic messages.

The stock transport writes a message in place, so a reader may get half of it, and moves messages
that it reads to the system's temporary folder. Here a message appears by a rename inside the
queue's own folder, and belongs to the process that deletes it. If that process then dies, the
message is lost, and the dispatcher sends it again.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.transport import filesystem

_WAIT_SECONDS = 0.25


class Channel(filesystem.Channel):
    """One file for each message, named by time so that names sort by age."""

    def _put(self, queue: str, payload: dict[str, Any], **_: Any) -> None:  # type: ignore[override]  # as kombu's own
        name = f"{time.time_ns():020}_{uuid4().hex}"
        folder = Path(self.data_folder_out)
        hidden = folder / f"{name}.writing"
        try:
            hidden.write_text(json.dumps(payload))
            hidden.rename(folder / f"{name}.{queue}.msg")
        finally:
            # After a failed write, as on a full disk: each attempt would leave a file behind.
            hidden.unlink(missing_ok=True)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for entry in sorted(os.listdir(self.data_folder_in)):  # noqa: PTH208 - names suffice
            if entry.partition(".")[2] != f"{queue}.msg":
                continue
            path = Path(self.data_folder_in, entry)
            # Another worker was faster, or a power failure left an empty file.
            with contextlib.suppress(FileNotFoundError, ValueError):
                text = path.read_text()
                path.unlink()
                return json.loads(text)
        raise Empty


def remove_old(folder: Path, seconds: float) -> None:
    """Remove expired messages and unfinished files."""
    before = time.time() - seconds
    for pattern in ("*.msg", "*.writing"):
        for path in folder.glob(pattern):
            with contextlib.suppress(FileNotFoundError):  # read meanwhile
                if path.stat().st_mtime < before:
                    path.unlink()


class Transport(filesystem.Transport):
    """The stock transport with these channels."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Wait for less than `timeout`: Celery notices a stop only between two waits."""
        super().drain_events(connection, timeout=min(timeout or _WAIT_SECONDS, _WAIT_SECONDS))
