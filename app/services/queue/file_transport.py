"""Celery's filesystem transport, with messages that are whole or not there.

The stock transport writes a message in place, so that a reader may take half of one, and moves
what it reads to the system's temporary folder. Here a message comes by renaming inside the queue's
own folder, and is whoever's that deletes it. One whose reader then dies is still lost: the
dispatcher sends it again.
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
    """One file a message, named by time so that names sort by age."""

    def _put(self, queue: str, payload: dict[str, Any], **_: Any) -> None:  # type: ignore[override]  # as kombu's own
        name = f"{time.time_ns():020}_{uuid4().hex}"
        folder = Path(self.data_folder_out)
        hidden = folder / f"{name}.writing"
        try:
            hidden.write_text(json.dumps(payload))
            hidden.rename(folder / f"{name}.{queue}.msg")
        finally:
            hidden.unlink(missing_ok=True)  # of a full disk, which would be one at every try

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for entry in sorted(os.listdir(self.data_folder_in)):  # noqa: PTH208 - names suffice
            if entry.partition(".")[2] != f"{queue}.msg":
                continue
            path = Path(self.data_folder_in, entry)
            # Another worker was quicker; or a machine without power has left an empty one.
            with contextlib.suppress(FileNotFoundError, ValueError):
                text = path.read_text()
                path.unlink()
                return json.loads(text)
        raise Empty


def remove_old(folder: Path, seconds: float) -> None:
    """Remove what nobody reads any more: messages that expired, and those half written."""
    before = time.time() - seconds
    for pattern in ("*.msg", "*.writing"):
        for path in folder.glob(pattern):
            with contextlib.suppress(FileNotFoundError):  # it was read after all
                if path.stat().st_mtime < before:
                    path.unlink()


class Transport(filesystem.Transport):
    """The stock transport over these channels."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Wait shorter than asked: Celery sees only between two waits that it is to stop."""
        super().drain_events(connection, timeout=min(timeout or _WAIT_SECONDS, _WAIT_SECONDS))
