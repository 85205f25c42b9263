"""Sends deliveries to webhooks, with exponential backoff and jitter between attempts.

It runs in every API process. Processes share the work: each claims a delivery for one attempt by a
conditional update that gives it a fencing token. The claim of a process that dies expires. So no
delivery is lost, but one may arrive twice, under the same id.
"""

import asyncio
import random
import time
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.db.repositories import deliveries as delivery_rows
from app.db.repositories.deliveries import ClaimedDelivery
from app.logs import described
from app.security.guarded_transport import GuardedTransport
from app.security.ssrf import UrlRefusedError
from app.services.jobs.webhooks import signed_headers
from app.settings import Settings

_POLL_SECONDS = 1.0
_CONCURRENT = 32
# For a whole attempt: resolve the name, connect, send, get the status of the answer.
_ATTEMPT_SECONDS = 15.0
# For each address of the name.
_CONNECT_SECONDS = 5.0
_CLAIM = timedelta(seconds=60)
# How long a shutdown waits for running attempts.
_STOP_SECONDS = 3.0
_GONE = 410
# Exponential backoff: the waits before the second attempt and each further one. After the last
# attempt the delivery has failed.
DELAYS = (
    timedelta(seconds=5),
    *(timedelta(minutes=minutes) for minutes in (1, 5, 30)),
    *(timedelta(hours=hours) for hours in (2, 6, 12, 24)),
)
_JITTER = 0.2

log = structlog.get_logger(__name__)


class _Answer(NamedTuple):
    """The result of an attempt: a status, and why the attempt failed if it did."""

    status: int | None
    error: str | None


class WebhookSender:
    """Sends due deliveries, several at once, in the event loop it is started in."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._http = httpx.AsyncClient(
            transport=GuardedTransport(private=settings.webhook_private),
            follow_redirects=False,
            timeout=httpx.Timeout(_ATTEMPT_SECONDS, connect=_CONNECT_SECONDS),
            headers={"User-Agent": "Accrue-Webhooks"},
        )
        self._attempts: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Poll for due deliveries until cancelled; then give running attempts a moment to end."""
        try:
            while True:
                await self._tick()
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            if self._attempts:
                _, late = await asyncio.wait(self._attempts, timeout=_STOP_SECONDS)
                for attempt in late:  # its claim expires, and another process sends it
                    attempt.cancel()
            await self._http.aclose()

    async def _tick(self) -> None:
        try:
            claimed = await asyncio.to_thread(self._claim, _CONCURRENT - len(self._attempts))
        except SQLAlchemyError as error:
            # The database is unreachable or locked; the deliveries stay due.
            log.warning("webhook_tick_failed", error=error)
            return
        except Exception:  # an error of any kind must not end the polling
            log.exception("webhook_tick_failed")
            return
        for delivery in claimed:
            task = asyncio.create_task(self._attempt(delivery))
            self._attempts.add(task)
            task.add_done_callback(self._attempts.discard)

    def _claim(self, limit: int) -> list[ClaimedDelivery]:
        with self._db.reading() as session:
            if not limit or not delivery_rows.any_due(session, now=self._db.now(session)):
                return []
        with self._db.transaction() as session:
            now = self._db.now(session)
            return delivery_rows.claim(session, now=now, lasts=_CLAIM, limit=limit)

    async def _attempt(self, delivery: ClaimedDelivery) -> None:
        answer = await self._answer(delivery)
        try:
            await asyncio.to_thread(self._settle, delivery, answer)
        except SQLAlchemyError as error:
            # The claim expires, and the delivery is sent again.
            log.warning("webhook_not_settled", delivery=delivery.id, error=error)

    async def _answer(self, delivery: ClaimedDelivery) -> _Answer:
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                status = await self._post(delivery)
        except TimeoutError:
            return _Answer(None, f"no answer within {_ATTEMPT_SECONDS:g} seconds")
        except UrlRefusedError as error:
            return _Answer(None, f"the URL {error}")
        except (httpx.HTTPError, OSError) as error:
            return _Answer(None, described(error))
        except Exception:  # an error of any kind must not stop other deliveries
            log.exception("webhook_try_failed", delivery=delivery.id)
            return _Answer(None, "it could not be sent")
        return _Answer(status, None if 200 <= status < 300 else f"the answer was {status}")

    async def _post(self, delivery: ClaimedDelivery) -> int:
        """Send a delivery; return the status of the answer."""
        payload = delivery.payload.encode()
        headers = {
            "Content-Type": "application/json",
            **signed_headers(delivery.secret, delivery.id, int(time.time()), payload),
        }
        async with self._http.stream(
            "POST", delivery.url, content=payload, headers=headers
        ) as response:
            return response.status_code  # the body is not read

    def _settle(self, delivery: ClaimedDelivery, answer: _Answer) -> None:
        result: dict[str, Any] = {"last_status": answer.status, "last_error": answer.error}
        given_up = answer.status == _GONE or delivery.attempt > len(DELAYS)
        with self._db.transaction() as session:
            now = self._db.now(session)
            if answer.error is None:
                done = {**result, "delivered_at": now}
                held = delivery_rows.end(session, delivery, done, state="delivered")
            elif given_up:
                held = delivery_rows.end(session, delivery, result, state="failed")
            else:
                until = now + _backoff(delivery.attempt)
                held = delivery_rows.postpone(session, delivery, result, until=until)
        log.info(
            "webhook_tried",
            delivery=delivery.id,
            job=delivery.job_id,
            attempt=delivery.attempt,
            status=answer.status,
            error=answer.error,
            claim_held=held,
        )


def _backoff(attempt: int) -> timedelta:
    """Return the wait after a failed attempt; jitter spreads the attempts of many deliveries."""
    jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - not a secret
    return DELAYS[attempt - 1] * jitter
