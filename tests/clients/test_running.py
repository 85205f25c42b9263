"""Requests as they are sent, to a server that redirects."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from accrue_client import Accrue, AsyncAccrue, NotAccrueError


class Redirecting(BaseHTTPRequestHandler):
    """Redirects everything as proxies do that lead to HTTPS, and answers there."""

    def do_GET(self) -> None:
        moved = not self.path.startswith("/moved")
        self.send_response(302 if moved else 200)
        if moved:
            self.send_header("Location", f"/moved{self.path}")
        body = b"" if moved else b'{"data": [], "has_more": false}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_redirect_does_not_make_a_get_of_a_change(url: str) -> None:
    with Accrue(url) as accrue:
        assert accrue.classifiers.list() == []
        with pytest.raises(NotAccrueError, match=r"302 Found \(to /moved/v1/uploads/a\)"):
            accrue._session.threads.run(accrue._session.api.delete("/v1/uploads/a"))

    async def awaited() -> None:
        async with AsyncAccrue(url) as accrue:
            assert await accrue.classifiers.list() == []
            with pytest.raises(NotAccrueError):
                await accrue._session.tasks.run(accrue._session.api.delete("/v1/uploads/a"))

    asyncio.run(awaited())
