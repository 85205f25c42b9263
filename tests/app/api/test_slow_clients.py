"""Clients that are slow on purpose are cut off; those that are slow and honest are not."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from app.cli.http_protocol import BoundedProtocol
from app.settings import Settings
from tests.app.api.test_event_stream import STREAM, Running, frames, serving
from tests.worker.harness import Service

# Scaled down: a body may bring less than 500 · 1.5 bytes in this many seconds.
HEAD, BODY, IDLE = 1.0, 1.5, 0.7
GET = b"GET /version HTTP/1.1\r\nHost: accrue\r\n"
POST = b"POST /v1/classifiers HTTP/1.1\r\nHost: accrue\r\nContent-Type: application/json\r\n"
UPLOAD = b"POST /v1/uploads HTTP/1.1\r\nHost: accrue\r\nContent-Type: application/zip\r\n"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    limits = {"head_seconds": HEAD, "body_seconds": BODY, "idle_seconds": IDLE, "connections": 8}
    return settings.model_copy(update=limits)


@pytest.fixture
def running(settings: Settings) -> Iterator[Running]:
    with serving(settings) as running:
        yield running


def connect(running: Running) -> socket.socket:
    url = running.http.base_url
    return socket.create_connection((url.host, url.port), timeout=20)


def trickle(connection: socket.socket, piece: bytes, every: float) -> threading.Event:
    """Send a piece again and again until the connection ends or the event is set."""
    stop = threading.Event()

    def send() -> None:
        try:
            while not stop.wait(every):
                connection.sendall(piece)
        except OSError:
            pass

    threading.Thread(target=send, daemon=True).start()
    return stop


def rest(connection: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    answer = bytearray()
    try:
        while data := connection.recv(65536):
            answer += data
    except ConnectionResetError:
        pass
    return bytes(answer)


def problem(answer: bytes) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"connection: close" in head.lower()
    document: dict[str, object] = json.loads(body)
    return document


@pytest.mark.parametrize(
    "start", [GET + b"X-Slow: ", b"GET /v", GET], ids=["value", "target", "names"]
)
def test_a_head_that_trickles_is_answered_408(running: Running, start: bytes) -> None:
    with connect(running) as connection:
        begun = time.monotonic()
        connection.sendall(start)
        piece = b"X-A: b\r\n" if start == GET else b"a"
        trickle(connection, piece, 0.1)
        answer = rest(connection)
    assert 0.9 * HEAD <= time.monotonic() - begun < HEAD + 5
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert problem(answer)["code"] == "request-timeout"


@pytest.mark.parametrize("sent", [b"", b"\r\n"], ids=["nothing", "empty lines"])
def test_a_connection_without_a_request_is_closed(running: Running, sent: bytes) -> None:
    begun = time.monotonic()
    with connect(running) as connection:
        if sent:
            trickle(connection, sent, 0.1)
        assert rest(connection) == b""
    assert 0.9 * HEAD <= time.monotonic() - begun < HEAD + 5


@pytest.mark.parametrize("sent", [b"", b"\r\n"], ids=["nothing", "empty lines"])
def test_so_is_one_between_two_requests(running: Running, sent: bytes) -> None:
    with connect(running) as connection:
        connection.sendall(GET + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        begun = time.monotonic()
        if sent:
            trickle(connection, sent, 0.1)
        assert rest(connection) == b""
        assert IDLE / 2 <= time.monotonic() - begun < IDLE + 5


@pytest.mark.parametrize("head", [POST, UPLOAD], ids=["JSON", "upload"])
@pytest.mark.parametrize("piece", [b"", b"a"], ids=["stalls", "trickles"])
@pytest.mark.parametrize(
    "length", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
)
def test_a_body_that_stalls_is_answered_408(
    running: Running, head: bytes, piece: bytes, length: bytes
) -> None:
    with connect(running) as connection:
        begun = time.monotonic()
        connection.sendall(head + length)
        if piece:
            trickle(connection, piece if b"Content" in length else b"1\r\na\r\n", 0.1)
        answer = rest(connection)
    assert 0.9 * BODY <= time.monotonic() - begun < BODY + 5
    assert answer.startswith(b"HTTP/1.1 408 ")
    document = problem(answer)
    assert document["code"] == "request-timeout"
    assert "750 bytes" in str(document["detail"])
    assert document["instance"]  # it has an id, and so is in the log


def test_a_body_that_is_slow_and_honest_is_read(running: Running) -> None:
    body = json.dumps({"name": "slow", "options": {"epochs": 1}}).encode()
    padding = 8000  # 2000 bytes a second, for more than twice the time that a stall may take
    with connect(running) as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % (len(body) + padding))
        for _ in range(padding // 200):
            connection.sendall(b" " * 200)
            time.sleep(0.1)
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")


def test_the_rest_of_a_refused_body_is_not_awaited(running: Running) -> None:
    with connect(running) as connection:
        connection.sendall(POST + b"Content-Length: 100000000000\r\n\r\n")
        trickle(connection, b"a" * 1000, 0.1)
        begun = time.monotonic()
        assert rest(connection).startswith(b"HTTP/1.1 413 ")
        assert time.monotonic() - begun < IDLE + 5


def test_event_streams_outlast_every_limit(
    running: Running, settings: Settings, database: object
) -> None:
    service = Service(database, settings)  # type: ignore[arg-type]
    service.classifier()
    job_id = service.learn(service.upload("a", "b", count=2))
    with running.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as answer:
        events = frames(answer.iter_lines())
        assert next(events)["event"] == "created"
        time.sleep(2 * max(HEAD, BODY, IDLE))
        service.cancel(job_id)
        assert next(event for event in events if "event" in event)["event"] == "cancelled"


def test_where_there_are_too_many_the_longest_idle_one_goes(running: Running) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(running)) for _ in range(8)]
        with connect(running) as newest:
            newest.sendall(GET + b"Connection: close\r\n\r\n")
            # At once: a moment later it would have been idle for too long itself.
            idle[7].sendall(GET + b"Connection: close\r\n\r\n")
            assert rest(newest).startswith(b"HTTP/1.1 200 ")
        assert rest(idle[0]) == b""
        assert rest(idle[7]).startswith(b"HTTP/1.1 200 ")


def test_where_all_are_busy_a_new_one_is_answered_503(running: Running) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            busy = stack.enter_context(connect(running))
            busy.sendall(UPLOAD + b"Content-Length: 100000\r\n\r\n")
        time.sleep(0.5)
        with connect(running) as newest:
            answer = rest(newest)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert problem(answer)["code"] == "too-many-connections"


def test_a_client_that_does_not_read_its_answer_is_cut_off(running: Running) -> None:
    """Pipelined requests fill the buffers of both sides, which no answer alone does here."""
    with connect(running) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: accrue\r\n\r\n"
        connection.sendall(request * 200)
        deadline = time.monotonic() + 20
        while running.server.server_state.connections:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_so_is_one_whose_whole_answer_waits_in_the_buffer(running: Running) -> None:
    """Too little is buffered to pause the answer: closing it would wait for the client for ever."""
    with connect(running) as connection:
        deadline = time.monotonic() + 20
        while not running.server.server_state.connections:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (protocol,) = running.server.server_state.connections
        assert isinstance(protocol, BoundedProtocol)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        filled = threading.Event()

        def fill() -> None:
            """Write until the system takes no more, as answers that are not read do."""
            while protocol.transport.get_write_buffer_size() < 2000:
                protocol.transport.write(bytes(4096))
            filled.set()

        protocol.loop.call_soon_threadsafe(fill)
        assert filled.wait(20)
        while running.server.server_state.connections:
            assert time.monotonic() < deadline
            time.sleep(0.1)
