"""Which workers of a data folder are alive: each locks a file there until it ends.

Linux releases a lock when its process ends, however that happens. This alone proves that a worker
is dead: host names and process ids are the same in many containers.
"""

import fcntl
import os
import socket
import time
from pathlib import Path

import structlog

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Age at which a file of another machine, or from before a reboot of this one, is removed.
_STALE_SECONDS = 86_400.0

log = structlog.get_logger(__name__)


class Presence:
    """This worker's file. A heartbeat touches it, so its age says whether the worker runs."""

    def __init__(self, folder: Path, worker_id: str) -> None:
        self._folder = folder
        self._path = folder / f"{socket.gethostname()}-{os.getpid()}-{worker_id}.alive"
        self._id = worker_id
        self._descriptor: int | None = None

    def show(self) -> None:
        """Create the file and lock it, unless that is done.

        Where the file system has no locks, a death shows only by the file's age. Raises OSError.
        """
        if self._descriptor is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        hidden = self._path.with_suffix(".new")
        descriptor = None
        try:
            hidden.write_text(f"{_kernel()}\n{self._id}\n")
            descriptor = os.open(hidden, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                log.warning("no_locks", folder=str(self._folder), error=error)
                hidden.write_text(f"\n{self._id}\n")
            hidden.rename(self._path)  # seen only once it is locked
        except OSError:
            hidden.unlink(missing_ok=True)
            if descriptor is not None:
                os.close(descriptor)
            raise
        self._descriptor = descriptor

    def touch(self) -> None:
        """Renew the file's time. Raises OSError."""
        self.show()
        if self._descriptor is not None:
            os.utime(self._descriptor)

    def hide(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def dead(self) -> dict[str, Path]:
        """Return the workers that are certain to be dead: the file of each, by the worker's id.

        The caller removes the files once it has freed the jobs; until then others find them too.
        """
        dead = {}
        for path in self._folder.glob("*.alive"):
            if path == self._path:
                continue
            try:
                with path.open("r+") as file:
                    kernel, worker_id = file.read().split("\n")[:2]
                    # A lock is visible to processes of one kernel only.
                    if kernel == _kernel():
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        dead[worker_id] = path
                    elif time.time() - path.stat().st_mtime > _STALE_SECONDS:
                        path.unlink()
            except (OSError, ValueError):
                continue  # locked by a live worker, or removed already, or not a worker's file
        return dead


def _kernel() -> str:
    """Name the running kernel, which all containers of a machine share."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else socket.gethostname()
