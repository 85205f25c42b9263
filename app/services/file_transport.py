"""Celery's filesystem transport, with messages that are whole or not there.

The stock transport writes a message in place, so that a reader may take half of one, and moves
what it reads to the system's temporary folder. Here both happen by renaming inside the queue's
own folder. A message read by a worker that then dies is still lost: the dispatcher sends it again.
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
        hidden.write_text(json.dumps(payload))
        hidden.rename(folder / f"{name}.{queue}.msg")

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for entry in sorted(os.listdir(self.data_folder_in)):  # noqa: PTH208 - names suffice
            if entry.partition(".")[2] != f"{queue}.msg":
                continue
            taken = Path(self.data_folder_in, f"{entry}.taken")
            with contextlib.suppress(FileNotFoundError):  # another worker was quicker
                Path(self.data_folder_in, entry).rename(taken)
                message = json.loads(taken.read_text())
                taken.unlink()
                return message
        raise Empty


class Transport(filesystem.Transport):
    """The stock transport over these channels."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Wait shorter than asked: Celery sees only between two waits that it is to stop."""
        super().drain_events(connection, timeout=min(timeout or _WAIT_SECONDS, _WAIT_SECONDS))
