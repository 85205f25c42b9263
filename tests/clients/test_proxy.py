"""Which requests of the client go through the proxy of the environment: a real one decides."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from app.client.client import Client, ClientError
from app.client.errors import CommandError
from tests.s3 import free_port

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD")


class Answering:
    """An HTTP server that answers everything, and remembers what it was asked for."""

    def __init__(self, status: int, body: bytes) -> None:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Keep the test's output to itself."""

        self.asked = asked
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def accrue() -> Iterator[Answering]:
    """The service."""
    answering = Answering(200, b"{}")
    yield answering
    answering.server.shutdown()
    answering.server.server_close()


@pytest.fixture
def proxy() -> Iterator[Answering]:
    """A proxy that reaches nothing: it answers 503 with a page."""
    answering = Answering(503, b"<h1>No route</h1>")
    yield answering
    answering.server.shutdown()
    answering.server.server_close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost", "0.0.0.0"])
def test_this_machine_is_never_asked_through_a_proxy(
    accrue: Answering,
    proxy: Answering,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    host: str,
) -> None:
    monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
    with Client(f"http://{host}:{accrue.port}") as client:
        assert client.get("/x") == {}
    assert (accrue.asked, proxy.asked) == (["/x"], [])


@pytest.mark.parametrize("host", ["127.1.2.3", "[::1]", "[::ffff:127.0.0.1]"])
def test_a_server_that_is_not_running_here_is_to_be_started(
    proxy: Answering, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    with (
        Client(f"http://{host}:{free_port()}") as client,
        pytest.raises(ClientError, match="accrue up") as caught,
    ):
        client.get("/x")
    assert "proxy" not in str(caught.value)
    assert proxy.asked == []


def test_a_proxy_that_cannot_be_used_does_not_matter_here(
    accrue: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    with Client(f"http://127.0.0.1:{accrue.port}") as client:
        assert client.get("/x") == {}
    for bad in ("socks5://proxy.example:1080", "gopher://proxy.example", "http://:port"):
        monkeypatch.setenv("ALL_PROXY", bad)
        with pytest.raises(CommandError, match=r"(?s)ALL_PROXY.*NO_PROXY=far\.example"):
            Client("http://far.example")


def test_other_hosts_are_asked_through_it_and_errors_name_it(
    proxy: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"user:secret@127.0.0.1:{proxy.port}")
    with (
        Client("http://far.example:8000") as client,
        pytest.raises(ClientError, match="answered 503 Service Unavailable") as caught,
    ):
        client.get("/x")
    assert set(proxy.asked) == {"http://far.example:8000/x"}
    assert str(caught.value).splitlines()[1] == (
        f"The request went through the proxy http://127.0.0.1:{proxy.port}, which HTTP_PROXY "
        "names. To go round it, set NO_PROXY=far.example."
    )
    assert caught.value.status == 503


def test_a_proxy_that_is_not_there_is_not_a_server_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    with Client("https://far.example") as client, pytest.raises(ClientError) as caught:
        client.get("/x")
    assert "accrue up" not in str(caught.value)
    assert "which HTTPS_PROXY names" in str(caught.value)
    assert "NO_PROXY=far.example" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_direct"),
    [
        ("http://192.0.2.7:1", "192.0.2.0/24", True),
        ("http://192.0.2.7:1", "10.0.0.0/8, 192.0.2.7", True),
        ("http://192.0.2.7:1", "192.0.3.0/24", False),
        ("http://a.internal:1", ".internal", True),
        ("http://a.internal:1", "internal", True),
        ("http://a.internal:1", "*", True),
        ("http://a.internal:1", "a.internal:1", True),
        ("http://a.internal:1", "a.internal:2", False),
        ("http://a.internal:1", "b.internal", False),
    ],
)
def test_no_proxy(
    proxy: Answering, monkeypatch: pytest.MonkeyPatch, url: str, no_proxy: str, is_direct: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    with Client(url) as client:
        assert (client._connection.proxy is None) == is_direct
        if not is_direct:
            with pytest.raises(ClientError):
                client.get("/x")
            assert set(proxy.asked) == {f"{url}/x"}


def test_the_sign_in_page_of_a_proxy_is_not_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = Answering(200, b"<h1>Sign in</h1>")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{page.port}")
    with Client("http://far.example") as client, pytest.raises(ClientError) as caught:
        client.get("/x")
    page.server.shutdown()
    page.server.server_close()
    assert "not as Accrue does" in str(caught.value)
    assert "NO_PROXY=far.example" in str(caught.value)
