"""The client, against a small HTTP server with the answers of a test."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from app.client.client import Client, ClientError, classifier_path

Answer = tuple[int, str, str]


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, Answer]], Client]]:
    """A function that serves answers (status, content type, body) by path."""
    servers: list[HTTPServer] = []

    def serve(answers: dict[str, Answer]) -> Client:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, media_type, body = answers[self.path]
                self.send_response(status)
                self.send_header("Content-Type", media_type)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                """Keep the test's output to itself."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return Client(f"http://127.0.0.1:{server.server_port}/")

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_lists_are_read_page_by_page(serve: Callable[[dict[str, Answer]], Client]) -> None:
    def page(data: list[int], following: str | None) -> Answer:
        body = {"data": data, "has_more": following is not None, "next": following}
        return 200, "application/json", json.dumps(body)

    with serve({"/list": page([1, 2], "b"), "/list?after=b": page([3], None)}) as client:
        assert list(client.each("/list")) == [1, 2, 3]


def test_a_problem_document_becomes_words(serve: Callable[[dict[str, Answer]], Client]) -> None:
    problem = {
        "title": "Invalid request",
        "detail": "See errors.",
        "status": 422,
        "code": "invalid-request",
        "errors": [
            {"pointer": "/options/epochs", "detail": "must be at least 1"},
            {"pointer": "/uploads", "detail": "See errors."},
        ],
    }
    answer = 422, "application/problem+json", json.dumps(problem)
    with serve({"/x": answer}) as client, pytest.raises(ClientError) as caught:
        client.get("/x")
    assert str(caught.value) == (
        "Invalid request: See errors.\n  /options/epochs: must be at least 1\n  /uploads"
    )
    assert (caught.value.status, caught.value.code) == (422, "invalid-request")


@pytest.mark.parametrize("body", ["<h1>Bad gateway</h1>", "[]", "{}"])
def test_an_answer_of_something_in_between(
    serve: Callable[[dict[str, Answer]], Client], body: str
) -> None:
    with (
        serve({"/x": (502, "text/html", body)}) as client,
        pytest.raises(ClientError, match="answered 502 Bad Gateway") as caught,
    ):
        client.get("/x")
    assert caught.value.code is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9", "Nothing answers"),
        ("127.0.0.1:9", "is not the URL of a server"),
        ("http://127.0.0.1:port", "is not the URL of a server"),
    ],
)
def test_no_server(url: str, said: str) -> None:
    with pytest.raises(ClientError, match=said), Client(url) as client:
        client.get("/x")


def test_names_are_quoted_in_paths() -> None:
    assert classifier_path("a?b c") == "/v1/classifiers/a%3Fb%20c"
