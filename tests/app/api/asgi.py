"""Sends requests to an application as a server would, and sees all of the answer."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI


@dataclass(frozen=True)
class Sent:
    """A request. None among the `chunks`: nothing comes any more; `leaves`: the client goes."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[bytes | None, ...] = (b"",)
    leaves: bool = False
    version: str = "1.1"


@dataclass
class Got:
    """An answer, and the scope that the request ended with."""

    status: int | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    scope: dict[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def running(*apps: FastAPI) -> AsyncIterator[None]:
    """Run the startup of the applications, and their shutdown at the end."""
    if not apps:
        yield
        return
    async with apps[0].router.lifespan_context(apps[0]), running(*apps[1:]):
        yield


async def ask(app: FastAPI, sent: Sent) -> Got:
    """Send one request."""
    path, _, query = sent.target.partition("?")
    got = Got()
    got.scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": sent.version,
        "method": sent.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    messages = _messages(sent)

    async def receive() -> dict[str, Any]:
        message = next(messages, {"type": "http.disconnect"})
        if message is None:
            await asyncio.Event().wait()
            raise AssertionError
        return message

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert got.status is None
            got.status, got.headers = message["status"], list(message["headers"])
        else:
            got.body += message.get("body", b"")

    await app(got.scope, receive, send)  # type: ignore[arg-type]
    return got


def _messages(sent: Sent) -> Iterator[dict[str, Any] | None]:
    for place, chunk in enumerate(sent.chunks):
        more = sent.leaves or place + 1 < len(sent.chunks)
        yield (
            None
            if chunk is None
            else {
                "type": "http.request",
                "body": chunk,
                "more_body": more,
            }
        )


def without(app: FastAPI, middleware: type) -> FastAPI:
    """Take a middleware out of an application that has not started."""
    kept = [each for each in app.user_middleware if each.cls is not middleware]
    assert len(kept) == len(app.user_middleware) - 1
    app.user_middleware[:] = kept
    return app


def header(got: Got, name: str) -> list[str]:
    """Return the values of a header of an answer."""
    return [value.decode() for key, value in got.headers if key.decode().lower() == name.lower()]
