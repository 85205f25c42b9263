"""When a call is sent again, and after which pause."""

import socket
import threading
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from accrue_client import Accrue
from accrue_client.errors import NotAccrueError, ProblemError, ServerUnreachableError
from accrue_client.retrying import Retrying
from accrue_client.steps import Call, Pause

GET = Call("GET", "/v1/jobs")
Outcome = httpx.Response | httpx.RequestError


class Run:
    """Runs a call against outcomes in their order, on a clock that only pauses move."""

    def __init__(self, call: Call, outcomes: Sequence[Outcome], *, answered: bool = True) -> None:
        self.now = 0.0
        self.calls: list[Call] = []
        self.pauses: list[float] = []
        retrying = Retrying(patience=300, first=3, clock=lambda: self.now)
        retrying.has_answered = answered
        left = list(outcomes)
        steps = retrying.send(call)
        sent: Any = None
        error: Exception | None = None
        while True:
            try:
                step = steps.send(sent) if error is None else steps.throw(error)
            except StopIteration as ended:
                self.response = ended.value
                return
            sent, error = None, None
            if isinstance(step, Pause):
                self.now += step.seconds
                self.pauses.append(step.seconds)
                continue
            assert isinstance(step, Call)
            self.calls.append(step)
            outcome = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(outcome, httpx.Response):
                sent = outcome
            else:
                error = outcome


def answer(status: int, code: str | None = None, **headers: str) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = httpx.Request("GET", "http://test/v1/jobs")
    document = {"title": "Title", "detail": "Detail.", "code": code}
    body = {"json": document} if code else {"text": "<h1>Bad gateway</h1>"}
    return httpx.Response(status, headers=headers, request=request, **body)  # type: ignore[arg-type]


LOST = httpx.ConnectError("refused")
GOOD = answer(200, "none")


def test_lost_connections_are_waited_for_with_growing_pauses() -> None:
    run = Run(GET, [LOST, httpx.ReadError("cut"), httpx.RemoteProtocolError("cut"), GOOD])
    assert run.response is GOOD
    for number, pause in enumerate(run.pauses):
        assert 0.5 * 2**number / 2 <= pause <= 0.5 * 2**number
    with pytest.raises(ServerUnreachableError, match="did not answer GET /v1/jobs: refused"):
        Run(GET, [LOST])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9", "^http://127.0.0.1:9 did not .*: Connection refused. Is that the"),
        ("http://nowhere.invalid/below", "^http://nowhere.invalid did not .*the service running"),
    ],
)
def test_what_does_not_answer_is_named(url: str, said: str) -> None:
    with pytest.raises(ServerUnreachableError, match=said):
        Accrue(url, patience=0).classifiers.list()


def test_tls_towards_a_service_without_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}"

        def answer_plainly() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer_plainly)
        thread.start()
        with pytest.raises(ServerUnreachableError, match="write http:// instead of https://"):
            Accrue(address, patience=0).classifiers.list()
        thread.join()


def test_a_server_that_never_answered_is_given_up_soon() -> None:
    assert len(Run(GET, [LOST, LOST, GOOD], answered=False).pauses) == 2
    with pytest.raises(ServerUnreachableError):
        Run(GET, [LOST] * 20 + [GOOD], answered=False)
    # A proxy is not the server.
    with pytest.raises(NotAccrueError, match="503"):
        Run(GET, [answer(503)] * 20 + [GOOD], answered=False)


def test_what_changes_something_has_a_key_that_stays() -> None:
    run = Run(Call("POST", "/v1/classifiers"), [LOST, LOST, GOOD])
    keys = {call.headers["Idempotency-Key"] for call in run.calls}
    assert len(run.calls) == 3
    assert len(keys) == 1
    assert "Idempotency-Key" not in Run(GET, [GOOD]).calls[0].headers


@pytest.mark.parametrize(
    "passing",
    [
        answer(503, "version-loading", retry_after="5"),
        answer(429, "rate-limited", retry_after="5"),
        answer(409, "request-in-progress", retry_after="5"),
    ],
)
def test_what_passes_is_waited_for_as_long_as_the_server_says(passing: httpx.Response) -> None:
    assert Run(GET, [passing, GOOD]).pauses == [5.0]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_without_its_server_is_waited_for(status: int) -> None:
    assert Run(GET, [answer(status), GOOD]).response is GOOD


@pytest.mark.parametrize(
    "final",
    [
        answer(404, "job-not-found"),
        answer(422, "invalid-request"),
        answer(429, "storage-quota", retry_after="60"),
        answer(500, "internal-error"),
        answer(503, "database-damaged"),
    ],
)
def test_what_stays_is_raised_at_once(final: httpx.Response) -> None:
    with pytest.raises(ProblemError) as caught:
        Run(GET, [final, GOOD])
    assert caught.value.status == final.status_code


def test_patience_begins_with_the_first_failure() -> None:
    """A large upload, or a connection that died in silence, takes longer than patience."""
    now = 0.0
    steps = Retrying(patience=300, first=3, clock=lambda: now).send(Call("POST", "/v1/uploads"))
    first = next(steps)
    now = 600.0
    assert isinstance(steps.throw(httpx.ReadTimeout("")), Pause)
    assert next(steps) == first  # with the same key
    now = 1200.0
    with pytest.raises(ServerUnreachableError):
        steps.throw(httpx.ReadTimeout(""))


def test_a_service_that_stays_away_is_not_waited_for_again() -> None:
    retrying = Retrying(patience=300, first=3)
    retrying.has_answered = True
    now = 0.0
    retrying.clock = lambda: now
    waited = []
    for _ in range(2):
        steps, began = retrying.send(GET), now
        step = next(steps)
        with pytest.raises(ServerUnreachableError):
            while True:
                if isinstance(step, Pause):
                    now += step.seconds
                    step = next(steps)
                else:
                    step = steps.throw(LOST)
        waited.append(now - began)
    assert waited[0] > 200
    assert waited[1] <= 3


def test_what_an_earlier_try_deleted_is_deleted() -> None:
    delete = Call("DELETE", "/v1/uploads/upl_1")
    gone = answer(404, "upload-not-found")
    assert Run(delete, [LOST, gone]).response is gone
    with pytest.raises(ProblemError):
        Run(delete, [gone])


@pytest.mark.parametrize("error", [httpx.TooManyRedirects("20"), httpx.DecodingError("not gzip")])
def test_an_answer_that_is_not_http_as_the_service_speaks_it(error: httpx.RequestError) -> None:
    with pytest.raises(NotAccrueError, match="Is the URL that of the service"):
        Run(GET, [error])
