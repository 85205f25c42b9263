"""The API processes behind one port, as children of a supervisor."""

import contextlib
import socket
import sys
import tempfile
from collections.abc import Iterator

from app.cli.listening import hold_shared
from app.cli.supervisor import Child
from app.settings import Settings

# -P keeps a folder named app or worker in the user's current directory from being imported.
PYTHON = (sys.executable, "-P", "-m")


@contextlib.contextmanager
def api_children(
    settings: Settings, listener: socket.socket, after: int | None = None
) -> Iterator[list[Child]]:
    """Return as many as the settings say, to answer what comes to the port of the listener.

    One alone inherits the listener, so that requests wait while it is restarted. Of several, each
    listens by itself: Linux spreads connections over those that live, and none waits for another.
    The listener is closed then. `after` is a file descriptor that ends when they may use the
    database.
    """
    serve, inherited = [*PYTHON, "app.cli", "serve"], []
    if after is not None:
        serve, inherited = [*serve, "--after", str(after)], [after]
    if settings.api_processes == 1:
        command = [*serve, "--socket", str(listener.fileno())]
        yield [Child("API", command, sockets=[listener.fileno(), *inherited])]
        return
    port = listener.getsockname()[1]
    listener.close()
    # The folder is for this user only. The socket keeps the port while all are restarted.
    with tempfile.TemporaryDirectory(prefix="accrue-") as folder, hold_shared(settings.host, port):
        command = [*serve, "--port", str(port), "--siblings", folder]
        yield [
            Child(f"API {place}", [*command, "--place", str(place)], sockets=inherited)
            for place in range(settings.api_processes)
        ]
