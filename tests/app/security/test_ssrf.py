"""Where requests may be sent on a client's word."""

import asyncio
import ipaddress
import socket
import threading
from typing import Any

import pytest
from httpx import URL

from app.security.ssrf import UrlRefusedError, check_url, is_public, resolve


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "0.0.0.0", "198.18.0.1", "192.0.2.1"),
        *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "ff0e::1"),
        *("2001:db8::1", "2001::1", "64:ff9b:1::1"),
        # IPv4 addresses in disguise.
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1"),
        *("2002:7f00:1::", "2002:a00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "HTTPS://example.org:8443/a?b=c",
        "https://bücher.example/hook",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
    ],
)
def test_a_good_url(url: str) -> None:
    assert check_url(url, private=False).scheme == "https"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.org", "begin with https"),
        ("ftp://example.org", "begin with https"),
        ("file:///etc/passwd", "begin with https"),
        ("example.org/hook", "begin with https"),
        ("", "begin with https"),
        ("https:///hook", "has no host"),
        ("https://user@example.org", "user name or password"),
        ("https://user:word@example.org", "user name or password"),
        ("https://example.org:99999", "has an invalid port"),
        ("https://example.org:0", "has an invalid port"),
        ("https://example.org:port", "not a URL"),
        ("https://example.org/" + 2048 * "a", "longer"),
        ("https://127.0.0.1/", "not public"),
        ("https://[::1]/", "not public"),
        ("https://169.254.169.254/latest", "not public"),
        ("https://[::ffff:10.0.0.1]/", "not public"),
        ("https://[fe80::1%25eth0]/", "not public"),
    ],
)
def test_a_bad_url(url: str, why: str) -> None:
    with pytest.raises(UrlRefusedError, match=why):
        check_url(url, private=False)


def test_what_private_allows() -> None:
    for url in ("http://127.0.0.1:8000/", "http://receiver/", "https://[::1]/"):
        check_url(url, private=True)
    for url in ("ftp://127.0.0.1/", "http://user@receiver/", "http:///"):
        with pytest.raises(UrlRefusedError):
            check_url(url, private=True)


def test_a_silent_resolver_does_not_block_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent resolver blocks a thread for half a minute, but none that other work needs."""
    answers = threading.Event()

    def silent(*_: Any, **__: Any) -> list[Any]:
        answers.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)

    async def others_go_on() -> None:
        url = URL("https://nobody.example.org/")
        waiting = [asyncio.create_task(resolve(url, private=False)) for _ in range(40)]
        await asyncio.sleep(0)  # all have asked
        try:
            # What reads keys and events does it like this.
            await asyncio.wait_for(asyncio.to_thread(answers.is_set), 20)
        finally:
            answers.set()
            await asyncio.gather(*waiting)

    asyncio.run(others_go_on())
