"""The API process: a uvicorn server of the application, with a graceful shutdown."""

import resource
import socket

import uvicorn

from app import starting
from app.cli.http_protocol import BoundedProtocol
from app.main import create_app
from app.processes import spare_imported
from app.services.jobs.event_polling import EventPoller
from app.settings import Settings
from app.siblings import Siblings


class _Server(uvicorn.Server):
    """Says when it is ready, and ends event streams first in a graceful shutdown.

    They last as long as a job.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer requests, and say so."""
        await super().startup(sockets)
        if self.started:
            spare_imported()
            starting.say_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop after all requests have been answered."""
        event_poller: EventPoller = self.config.app.state.event_poller  # type: ignore[union-attr]
        event_poller.close()
        await super().shutdown(sockets)


def make_server(settings: Settings, siblings: Siblings | None = None) -> uvicorn.Server:
    """Return a server of the application, which runs until SIGTERM or SIGINT.

    It may have siblings behind its port.
    """
    _allow_all_files()
    config = uvicorn.Config(
        create_app(settings, siblings),
        http=BoundedProtocol,
        log_config=None,  # app.logs writes the log, of libraries too
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        # In seconds. A longer upload is cut off.
        timeout_graceful_shutdown=10,
    )
    return _Server(config)


def _allow_all_files() -> None:
    """Raise the soft limit of open files to the hard one: each connection is a file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
