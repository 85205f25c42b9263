"""Connections behind the SSRF guard, to a real server."""

import asyncio
import socket
from typing import Any

import httpx
import pytest

from app.security.guarded_transport import GuardedTransport
from app.security.ssrf import UrlRefusedError
from tests.app.receiver import Receiver


def post(url: str, *, private: bool = True) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=GuardedTransport(private=private)) as http:
            return await http.post(url)

    return asyncio.run(send())


def test_connections_go_to_the_first_checked_address_that_can_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolved(*_: Any, **__: Any) -> list[Any]:
        return [(None, None, None, "", (address, 0)) for address in ("127.0.0.2", "127.0.0.1")]

    receiver = Receiver()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", resolved)
            answer = post(f"http://nowhere.invalid:{receiver.port}/x")
    finally:
        receiver.close()
    assert answer.status_code == 204
    assert str(answer.url) == f"http://nowhere.invalid:{receiver.port}/x"
    assert receiver.received[0].headers["host"] == f"nowhere.invalid:{receiver.port}"


def test_nothing_is_sent_to_private_addresses() -> None:
    with pytest.raises(UrlRefusedError, match="not public"):
        post("https://localhost/x", private=False)
