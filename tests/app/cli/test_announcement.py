"""`accrue up` says where it listens, whatever proxies the environment names."""

import http.server
import threading
from pathlib import Path

import pytest

from app.cli.listening import Announcement


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_a_proxy_of_the_environment_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with http.server.HTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.timeout = 5
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        url = f"http://127.0.0.1:{server.server_port}"
        Announcement(url, Path("data")).make_once_answered()
        answering.join()
    assert f"Accrue listens on {url}" in capsys.readouterr().out
