"""Requests that never end are not read for ever."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest

from app.cli.http_protocol import MAX_HEAD_BYTES
from app.settings import Settings
from tests.app.api.test_event_stream import Running, serving
from tests.databases import ONE_KIND_AT_FIRST

LINE = b"GET /version HTTP/1.1\r\nHost: accrue\r\n"
BODY = b"POST /v1/uploads HTTP/1.1\r\nHost: accrue\r\nTransfer-Encoding: chunked\r\n"
LAST = b"Connection: close\r\n"


@pytest.fixture
def running(settings: Settings) -> Iterator[Running]:
    with serving(settings) as running:
        yield running


def sent(running: Running, *parts: bytes) -> bytes:
    """Send what may be refused in the middle; return the answers when the server has closed."""
    url = running.http.base_url
    with socket.create_connection((url.host, url.port), timeout=60) as connection:

        def send() -> None:
            try:
                for part in parts:
                    connection.sendall(part)
            except OSError:
                pass  # the server has closed it

        sender = threading.Thread(target=send)
        sender.start()
        answers = bytearray()
        try:
            while data := connection.recv(65536):
                answers += data
        except ConnectionResetError:
            pass  # closed with bytes unread
        sender.join(60)
        assert not sender.is_alive()
        return bytes(answers)


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([LINE + b"X-Endless: ", *[b"a" * 2**18] * 40], id="header"),
        pytest.param([LINE, *[b"X-One: more\r\n" * 20_000] * 40], id="headers"),
        pytest.param([b"GET /version?", *[b"a" * 2**18] * 40], id="target"),
        pytest.param([BODY, b"\r\n0\r\nX-Trailer: ", *[b"a" * 2**18] * 40], id="trailer"),
        pytest.param([BODY, b"\r\n1;", *[b"a" * 2**18] * 40], id="chunk extension"),
    ],
)
def test_what_has_no_end_is_cut_off(running: Running, parts: list[bytes]) -> None:
    answers = sent(running, *parts)
    assert b" 200 " not in answers
    # Other requests are still answered.
    assert running.http.get("/version").status_code == 200


@ONE_KIND_AT_FIRST
def test_it_is_told_why(running: Running) -> None:
    # In one write, so that nothing is left unread when the server closes.
    answer = sent(running, LINE + b"X-Endless: ", b"a" * MAX_HEAD_BYTES)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer
    assert b"head-too-large" in answer


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"GET /version HTTP/1.1\r\nno header\r\n\r\n", id="header"),
        pytest.param(b"FETCH /version HTTP/1.1\r\n\r\n", id="method"),
        pytest.param(BODY + b"\r\nnot a size\r\n", id="chunk"),
    ],
)
def test_what_is_not_http_gets_a_problem_document(running: Running, request_: bytes) -> None:
    head, _, body = sent(running, request_).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert b"connection: close" in head
    document = json.loads(body)
    assert (document["status"], document["code"]) == (400, "bad-request")


@ONE_KIND_AT_FIRST
def test_what_is_large_and_ends_is_read(running: Running) -> None:
    head = LINE + b"X-Large: " + b"a" * (MAX_HEAD_BYTES - 1000) + b"\r\n\r\n"
    pieces = [head[at : at + 5000] for at in range(0, len(head), 5000)]
    answers = sent(running, *pieces, LINE, LAST, b"\r\n")
    assert answers.count(b"HTTP/1.1 200 ") == 2
    # A body in small chunks has many bytes that are none of it.
    chunks = b"1\r\n \r\n" * (MAX_HEAD_BYTES // 3)
    kind = b"Content-Type: application/json\r\n"
    answers = sent(running, BODY, LAST, kind, b"\r\n", chunks, b"0\r\n\r\n")
    assert answers.startswith(b"HTTP/1.1 422 ")
