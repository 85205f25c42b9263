"""Whether another process uses a database, which must not be replaced under it."""

import errno
import fcntl
import os
import time
from contextlib import closing
from pathlib import Path

from app.db.engine import Database, parse_url
from app.db.repositories import connections as connection_rows
from app.settings import Settings

# Where SQLite's connections lock a byte for as long as they are open, whatever is in the file: in
# the database, and in the index of its write-ahead log.
_LOCKED = {"": (0x40000000, 512), "-shm": (120, 9)}
# How long what was just stopped may take to close its connections.
_CLOSING_SECONDS = 3.0
_PAUSE_SECONDS = 0.1


class InUseError(Exception):
    """Another process uses the database; the text says which."""


def require_unused(settings: Settings) -> None:
    """Raise InUseError while the service, or one of its commands, uses the database.

    Call it while this process has no connection to the database. Raises OSError and
    SQLAlchemyError.
    """
    until = time.monotonic() + _CLOSING_SECONDS
    while (user := _user(settings)) is not None:
        if time.monotonic() >= until:
            raise InUseError(user)
        time.sleep(_PAUSE_SECONDS)


def _user(settings: Settings) -> str | None:
    url = parse_url(settings.database_url)
    if url.drivername != "sqlite":
        return _connected(settings.database_url)
    path = Path(url.database or "")
    for end, (start, length) in _LOCKED.items():
        if _is_locked(path.with_name(path.name + end), start, length):
            return f"another process has {path} open"
    # Also where the file was deleted, which its users cannot show any more.
    for file in (settings.data_dir / "workers").glob("*.alive"):
        if _is_held(file):
            return f"a worker of {settings.data_dir} runs"
    return None


def _connected(url: str) -> str | None:
    with closing(Database(url)) as db, db.reading() as session:
        hosts = connection_rows.of_others(session)
    if not hosts:
        return None
    count = "a connection" if len(hosts) == 1 else f"{len(hosts)} connections"
    return f"Accrue has {count} to it, from {', '.join(sorted(set(hosts)))}"


def _is_locked(path: Path, start: int, length: int) -> bool:
    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start, os.SEEK_SET)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN) and error.filename is None:
            return True
        raise
    return False


def _is_held(path: Path) -> bool:
    """Say whether a worker holds the lock of its file, which ends with the worker."""
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # it has ended meanwhile, or the file system has no locks
    return False
