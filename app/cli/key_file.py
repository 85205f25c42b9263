"""Key files: written atomically, readable by their owner alone."""

import os
import stat
import tempfile
from pathlib import Path

from app.client.errors import CommandError
from app.storage.durable import sync


def write_new(path: Path, token: str) -> None:
    """Write a key to a new file, and flush it to the disk.

    Raises CommandError if the file exists, which stays as it is, or cannot be written.
    """
    try:
        # Mode 0600 independent of the umask.
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
        sync(path.parent)
    except FileExistsError as error:
        raise CommandError(
            f"{path} exists already and is not overwritten. Choose another file, or remove it."
        ) from error
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error


def read_own(path: Path) -> str | None:
    """Return the content of a regular file of this user that no other user can read or write.

    Returns None for another or a missing file. Raises CommandError if it cannot be read.
    """
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
