"""The process that answers HTTP."""

import socket

import uvicorn

from app.cli.http_protocol import BoundedProtocol
from app.main import create_app
from app.services.jobs.event_polling import EventPoller
from app.settings import Settings


class _Server(uvicorn.Server):
    """Ends what would go on for as long as a job does, before it waits for open requests."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, once every request is answered."""
        watch: EventPoller = self.config.app.state.watch  # type: ignore[union-attr]
        watch.close()
        await super().shutdown(sockets)


def make_server(settings: Settings) -> uvicorn.Server:
    """Return the server of `create_app`; it runs until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        create_app(settings),
        http=BoundedProtocol,
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
        # An upload that takes longer does not hold up the stop.
        timeout_graceful_shutdown=10,
    )
    return _Server(config)
