"""Where the commands read their key, and to which server they send it."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from app.cli.options import connect
from app.client.errors import CommandError
from app.security import tokens


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | None]]]:
    """A server's URL, and what it is sent as authorization."""
    sent: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            """Keep the test's output to itself."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    server.server_close()


def test_a_file_goes_before_the_environment(
    server: tuple[str, list[str | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, sent = server
    (_, first), (_, second) = tokens.new_token(), tokens.new_token()
    file = tmp_path / "key"
    file.write_text(f"{second}\n")
    for environment, key_file in (("", None), (first, None), (first, file)):
        monkeypatch.setenv("ACCRUE_KEY", environment)
        with connect(url, key_file) as client:
            client.get("/x")
    assert sent == [None, f"Bearer {first}", f"Bearer {second}"]
    file.write_text(f"\ufeff{first}\r\n")  # as editors of Windows write it
    with connect(url, file) as client:
        client.get("/x")
    assert sent[-1] == f"Bearer {first}"


def test_what_is_no_key_is_named_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("swordfish")
    with pytest.raises(CommandError, match=f"{file} does not hold a key") as caught:
        connect("http://127.0.0.1:9", file)
    assert "swordfish" not in str(caught.value)
    monkeypatch.setenv("ACCRUE_KEY", "swordfish")
    with pytest.raises(CommandError, match="ACCRUE_KEY does not hold a key"):
        connect("http://127.0.0.1:9", None)
    with pytest.raises(CommandError, match="Cannot read the key"):
        connect("http://127.0.0.1:9", tmp_path / "missing")
