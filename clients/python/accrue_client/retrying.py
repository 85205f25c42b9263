"""Sends a call until it is answered: exponential backoff with jitter, and `Retry-After`.

A call that changes something is sent with an `Idempotency-Key`, so that it is done once however
often it is sent.
"""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

from accrue_client.errors import AccrueError, NotAccrueError, ProblemError, ServerUnreachableError
from accrue_client.problems import from_document
from accrue_client.steps import Call, Pause, Steps

# Conflicts that pass by themselves.
_PASSING = frozenset({"request-in-progress"})
# What a proxy answers while the service behind it restarts.
_GATEWAY = frozenset({502, 503, 504})
# Requests with these methods may be repeated as they are.
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0


@dataclass
class Retrying:
    """How long to try. One object serves all calls of a client.

    A server that has answered before is waited for `patience` seconds: it may be restarting. One
    that never has is tried for `first` seconds, as its URL may be wrong.
    """

    patience: float = 300.0
    first: float = 3.0
    clock: Callable[[], float] = time.monotonic
    has_answered: bool = field(default=False, init=False)

    def send(
        self, call: Call, *, repeatable: bool = False, within: float | None = None
    ) -> Steps[httpx.Response]:
        """Return the answer if it is 2xx or 304. Raises ProblemError and the like otherwise.

        `repeatable` is a call that changes nothing although its method may. `within` is for how
        many seconds to try at most.
        """
        call = call if repeatable or call.method in _IDEMPOTENT else _keyed(call)
        failed_at: float | None = None
        tries = lost = 0
        while True:
            tries += 1
            try:
                response: httpx.Response = yield call
            except httpx.TransportError as error:
                failure: AccrueError = ServerUnreachableError(_said(call, error))
                failure.__cause__ = error
                wait = _pause(tries)
                lost += 1
            except httpx.RequestError as error:  # redirects without end, a body that is damaged
                raise NotAccrueError(
                    f"{call.method} {call.path} was not answered as Accrue does: {error}. Is the "
                    "URL that of the service?",
                    None,
                ) from error
            else:
                if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
                    self.has_answered = True
                    return response
                if lost and _is_gone(call, response):
                    return response
                failure = error_of(response)
                self.has_answered |= isinstance(failure, ProblemError)
                retry = _wait(failure)
                if retry is None:
                    raise failure
                wait = max(retry, _pause(tries))
            patience = self.patience if self.has_answered else min(self.first, self.patience)
            if within is not None:
                patience = min(patience, within)
            # From the first failure: that a large upload took long does not use it up.
            failed_at = self.clock() if failed_at is None else failed_at
            if self.clock() - failed_at + wait > patience:
                if lost and within is None:
                    self.has_answered = False  # the next call need not wait as long again
                raise failure
            yield Pause(wait)


def error_of(response: httpx.Response) -> AccrueError:
    """Return the exception of an answer that is not 2xx."""
    try:
        return from_document(response.json(), response.status_code, _retry_after(response))
    except (ValueError, KeyError, TypeError):
        return not_accrue(response)


def not_accrue(response: httpx.Response) -> NotAccrueError:
    """Return the exception of an answer that does not come from the service."""
    said = f"{response.status_code} {response.reason_phrase}"
    if response.is_redirect:
        said += f" (to {response.headers['location']})"
    return NotAccrueError(
        f"{response.request.url} answered {said}, and not as Accrue does. Is the URL that of the "
        "service?",
        response.status_code,
    )


def _is_gone(call: Call, response: httpx.Response) -> bool:
    """Say whether what is to be deleted is no more: by an earlier try, whose answer was lost."""
    return call.method == "DELETE" and response.status_code == httpx.codes.NOT_FOUND


def _keyed(call: Call) -> Call:
    return Call(
        call.method,
        call.path,
        call.params,
        {"Idempotency-Key": uuid4().hex, **call.headers},
        call.content,
        call.seconds,
        call.to,
    )


def _wait(failure: AccrueError) -> float | None:
    """Return for how long to wait before the next try, None where none would help."""
    if isinstance(failure, NotAccrueError):
        return 0.0 if failure.status in _GATEWAY else None
    if not isinstance(failure, ProblemError):
        return None
    passes = failure.status == httpx.codes.SERVICE_UNAVAILABLE or failure.code == "rate-limited"
    if failure.code in _PASSING or (passes and failure.retry_after is not None):
        return failure.retry_after or 0.0
    return None


def _pause(tries: int) -> float:
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (tries - 1))
    return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, not a secret


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None


def _said(call: Call, error: httpx.TransportError) -> str:
    why = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
    where = _origin(error)
    said = f"{where} did not answer {call.method} {call.path}: {why}."
    if "WRONG_VERSION_NUMBER" in why:
        return f"{said} It does not speak TLS: write http:// instead of https://."
    if isinstance(error, httpx.ConnectError):
        return f"{said} Is that the URL of the service, and is the service running?"
    return said


def _origin(error: httpx.TransportError) -> str:
    try:
        url = error.request.url
    except RuntimeError:  # not sent by a client
        return "The server"
    return f"{url.scheme}://{url.netloc.decode()}"
