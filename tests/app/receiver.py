"""A real HTTP server on loopback that receives webhooks, and senders that send to it."""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.db.engine import Database
from app.services.jobs import webhook_sender
from app.services.jobs.webhook_sender import WebhookSender
from app.settings import Settings


@dataclass(frozen=True)
class Received:
    """A request as it was received."""

    headers: Message
    body: bytes


class Receiver:
    """Answers with `answers` in order, then with 204, and records the requests."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.answers: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.received.append(Received(self.headers, body))
                receiver.hold.wait(60)
                status = receiver.answers.pop(0) if receiver.answers else 204
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", receiver.url)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/hook?a=b"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def sending(settings: Settings, **changed: object) -> Iterator[None]:
    """A sender that polls often, with a database connection of its own, as in an API process."""
    private = settings.model_copy(update={"webhook_private": True, **changed})
    database = Database(settings.database_url)
    loop = asyncio.new_event_loop()
    work: list[asyncio.Task[None]] = []

    async def run() -> None:
        work.append(asyncio.create_task(WebhookSender(database, private).run()))
        await asyncio.wait(work)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(webhook_sender, "_POLL_SECONDS", 0.1)
            yield
        assert not work[0].done(), work[0]
    finally:
        while not work:
            time.sleep(0.01)
        loop.call_soon_threadsafe(work[0].cancel)
        thread.join(30)
        loop.close()
        database.close()


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
