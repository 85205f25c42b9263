"""The API processes behind one port, as children of a supervisor."""

import contextlib
import socket
import sys
import tempfile
from collections.abc import Iterator

from app.cli.supervisor import Child
from app.settings import Settings

# -P keeps a folder named app or worker in the user's current directory from being imported.
PYTHON = (sys.executable, "-P", "-m")


@contextlib.contextmanager
def api_children(settings: Settings, listener: socket.socket) -> Iterator[list[Child]]:
    """Return as many as the settings say. They share the listener, so any of them may answer.

    The supervisor holds it too, so that requests wait while all are restarted.
    """
    number = listener.fileno()
    serve = [*PYTHON, "app.cli", "serve", "--socket", str(number)]
    if settings.api_processes == 1:
        yield [Child("API", serve, sockets=[number])]
        return
    # Only this user can enter it.
    with tempfile.TemporaryDirectory(prefix="accrue-") as folder:
        yield [
            Child(
                f"API {place}",
                [*serve, "--siblings", folder, "--place", str(place)],
                sockets=[number],
            )
            for place in range(settings.api_processes)
        ]
