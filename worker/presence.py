"""Which workers of a data folder live: each holds a lock on a file there, until it ends.

The system lets go of a lock when its process is gone, however it went. That is the one proof that
a worker is dead: names of hosts and numbers of processes are the same in many containers.
"""

import fcntl
import os
import socket
import time
from pathlib import Path

import structlog

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Files of another machine, or of this one before it was started again, go after so long.
_STALE_SECONDS = 86_400.0

log = structlog.get_logger(__name__)


class Presence:
    """This worker's file. It is touched by the main loop, so its age says whether that runs."""

    def __init__(self, folder: Path, worker_id: str) -> None:
        self._folder = folder
        self._path = folder / f"{socket.gethostname()}-{os.getpid()}-{worker_id}.alive"
        self._id = worker_id
        self._descriptor: int | None = None

    def show(self) -> None:
        """Make the file and lock it, unless it is there already.

        Without a lock nobody can tell early that this worker died. Raises OSError.
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
                log.warning("no_locks", folder=str(self._folder), error=str(error))
                hidden.write_text(f"\n{self._id}\n")
            hidden.rename(self._path)  # seen only once it is locked
        except OSError:
            hidden.unlink(missing_ok=True)
            if descriptor is not None:
                os.close(descriptor)
            raise
        self._descriptor = descriptor

    def touch(self) -> None:
        """Show that the main loop runs. Raises OSError."""
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
        """Return the workers that are certain to be dead: the file of each, by its id.

        Whoever has entered their deaths removes the files: until then the next one finds them.
        """
        dead = {}
        for path in self._folder.glob("*.alive"):
            if path == self._path:
                continue
            try:
                with path.open("r+") as file:
                    kernel, worker_id = file.read().split("\n")[:2]
                    # A lock is seen by those who share its kernel; of others nothing is known.
                    if kernel == _kernel():
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        dead[worker_id] = path
                    elif time.time() - path.stat().st_mtime > _STALE_SECONDS:
                        path.unlink()
            except (OSError, ValueError):
                continue  # it is locked, so its worker lives; or gone already, or no file of ours
        return dead


def _kernel() -> str:
    """Name the running kernel, which all containers of a machine share."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else socket.gethostname()
