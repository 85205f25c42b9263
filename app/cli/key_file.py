"""A new key in a file of its own: whole or not there, for its owner's eyes only."""

import os
import stat
import tempfile
from pathlib import Path

from app.client.errors import CommandError


def write_new(path: Path, token: str) -> None:
    """Write a key to a file that is not there yet; it is on the disk when this returns.

    Raises CommandError, with what is there left as it is.
    """
    try:
        # Mode 0600, whatever the umask says.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(token + "\n")
                file.flush()
                os.fsync(file.fileno())
            # Unlike a rename, a link replaces nothing.
            os.link(name, path)
        finally:
            Path(name).unlink()
        _sync(path.parent)
    except FileExistsError as error:
        raise CommandError(f"{path} exists already, and is not overwritten.") from error
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error


def read_own(path: Path) -> str | None:
    """Return what a file holds that nobody else could read or write; None for any other."""
    try:
        status = path.lstat()
        private = not stat.S_IMODE(status.st_mode) & 0o077 and status.st_uid == os.geteuid()
        if stat.S_ISREG(status.st_mode) and private:
            return path.read_text("ascii", errors="replace").strip()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    return None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
