"""A folder of which a later part is refused or interrupted, against a small HTTP server."""

import json
import signal
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from accrue_client import parts
from rich.console import Console

from app.cli.sending import UploadStoppedError, send
from app.client.client import Client
from app.client.errors import CommandError

PLACE = {"label": "a", "split": None, "group": None, "reason": None}
REFUSED = {"title": "Too many images", "detail": "Send less.", "code": "too-many-images"}
DENIED = {"title": "Unauthorized", "detail": "No such key.", "code": "unauthorized"}


class Refusing(ThreadingHTTPServer):
    """Takes the first part of an upload, refuses the next, and may let the upload be deleted."""

    deletes = True
    # Ctrl-C while the next part is on its way.
    interrupts = False

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def answer(self, asked: str) -> tuple[int, Any]:
        """Return the status and the JSON of the answer to a method and a path."""
        self.asked.append(asked)
        match asked:
            case "POST /v1/uploads/layout":
                return 200, {"places": [PLACE] * 2, "wrapping_folder": None}
            case "POST /v1/uploads":
                return 201, {"id": "upl_1"}
            case "DELETE /v1/uploads/upl_1":
                return (204, None) if self.deletes else (401, DENIED)
            case "POST /v1/uploads/upl_1/images" if self.interrupts:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return 413, REFUSED


class Handler(BaseHTTPRequestHandler):
    server: Refusing

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer()

    def do_DELETE(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        status, body = self.server.answer(f"{self.command} {path}")
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output to itself."""


@pytest.fixture
def server() -> Iterator[Refusing]:
    with Refusing() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images, each of which is a part."""
    monkeypatch.setattr(parts, "PART_IMAGES", 1)
    (tmp_path / "a").mkdir()
    for number in range(2):
        (tmp_path / "a" / f"{number}.png").write_bytes(b"x")
    return tmp_path


def refused(server: Refusing, folder: Path, *, resumable: bool) -> tuple[CommandError, str]:
    """Send a folder; return the error, and what was printed."""
    console = Console(record=True, width=1000)
    client = Client(f"http://127.0.0.1:{server.server_port}")
    with client, pytest.raises(CommandError, match="Send less") as caught:
        send(client, folder, console, resumable=resumable)
    return caught.value, console.export_text()


def test_a_command_that_can_resume_says_how(server: Refusing, folder: Path) -> None:
    error, _ = refused(server, folder, resumable=True)
    assert isinstance(error, UploadStoppedError)
    assert str(error).endswith("1 of 2 images have arrived. Continue with --resume upl_1")
    assert "DELETE /v1/uploads/upl_1" not in server.asked


@pytest.mark.parametrize("deletes", [True, False])
def test_another_command_takes_back_what_has_arrived(
    server: Refusing, folder: Path, *, deletes: bool
) -> None:
    server.deletes = deletes
    error, printed = refused(server, folder, resumable=False)
    assert "--resume" not in str(error)
    assert server.asked[-1] == "DELETE /v1/uploads/upl_1"
    assert ("Delete it by DELETE /v1/uploads/upl_1" in printed) is not deletes


@pytest.mark.parametrize("archives", [False, True])
def test_an_interrupted_upload_stays_where_it_can_be_resumed(
    server: Refusing, folder: Path, request: pytest.FixtureRequest, *, archives: bool
) -> None:
    server.interrupts = True
    # Test runners ignore it in processes that they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    if archives:
        for image in sorted((folder / "a").iterdir()):
            with tarfile.open(folder / f"{image.stem}.tar", "w") as archive:
                archive.add(image, f"a/{image.name}")
            image.unlink()
        (folder / "a").rmdir()
    console = Console(record=True, width=1000)
    client = Client(f"http://127.0.0.1:{server.server_port}")
    with client, pytest.raises(KeyboardInterrupt):
        send(client, folder, console, resumable=True)
    assert ("--resume upl_1" in console.export_text()) is not archives
    assert ("DELETE /v1/uploads/upl_1" in server.asked) is archives
