"""Sends what webhooks are to be told.

It runs in every API process at once. A try is claimed by a conditional update, so that processes
share the work; whoever dies during one leaves a claim that runs out. So a delivery is never lost,
and may arrive twice, under the same id.
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
from app.db.repositories.deliveries import Claimed
from app.security import ssrf
from app.security.ssrf import UrlRefusedError
from app.services.jobs.webhooks import signed_headers
from app.settings import Settings

_TICK_SECONDS = 1.0
_TOGETHER = 32
# For everything: the name, the connection, the request, the beginning of the answer.
_TRY_SECONDS = 15.0
# For each address of the name.
_CONNECT_SECONDS = 5.0
_CLAIM = timedelta(seconds=60)
# How long a stop waits for tries that are under way.
_STOP_SECONDS = 3.0
_GONE = 410
# Waits before the second try and each further one; after the last try it is given up.
DELAYS = tuple(
    timedelta(**wait)
    for wait in (
        {"seconds": 5},
        {"minutes": 1},
        {"minutes": 5},
        {"minutes": 30},
        {"hours": 2},
        {"hours": 6},
        {"hours": 12},
        {"hours": 24},
    )
)
_JITTER = 0.2

log = structlog.get_logger(__name__)


class _Answer(NamedTuple):
    """What came of a try: a status, or why there is none."""

    status: int | None
    error: str | None


class WebhookSender:
    """Tries deliveries that are due, some at once, in the event loop it is started in."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._private = settings.webhook_private
        # The proxies of the environment would resolve names again, behind our check.
        self._http = httpx.AsyncClient(
            verify=httpx.create_ssl_context(),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(_TRY_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"User-Agent": "Accrue-Webhooks"},
        )
        self._tries: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Look for deliveries every second, until cancelled; then give tries a moment to end."""
        try:
            while True:
                await self._tick()
                await asyncio.sleep(_TICK_SECONDS)
        finally:
            if self._tries:
                _, late = await asyncio.wait(self._tries, timeout=_STOP_SECONDS)
                for each in late:  # its claim runs out, and another process tries again
                    each.cancel()
            await self._http.aclose()

    async def _tick(self) -> None:
        try:
            claimed = await asyncio.to_thread(self._claim, _TOGETHER - len(self._tries))
        except SQLAlchemyError as error:
            # The database is away or locked; what is to be sent will still be there.
            log.warning("webhook_tick_failed", error=str(error))
            return
        except Exception:  # whatever it is, deliveries go on being looked for
            log.exception("webhook_tick_failed")
            return
        for delivery in claimed:
            task = asyncio.create_task(self._try(delivery))
            self._tries.add(task)
            task.add_done_callback(self._tries.discard)

    def _claim(self, limit: int) -> list[Claimed]:
        with self._db.reading() as session:
            if not limit or not delivery_rows.any_due(session, now=self._db.now(session)):
                return []
        with self._db.transaction() as session:
            now = self._db.now(session)
            return delivery_rows.claim(session, now=now, lasts=_CLAIM, limit=limit)

    async def _try(self, delivery: Claimed) -> None:
        answer = await self._answer(delivery)
        try:
            await asyncio.to_thread(self._settle, delivery, answer)
        except SQLAlchemyError as error:
            # The claim runs out, and it is sent again.
            log.warning("webhook_not_settled", delivery=delivery.id, error=str(error))

    async def _answer(self, delivery: Claimed) -> _Answer:
        try:
            async with asyncio.timeout(_TRY_SECONDS):
                status = await self._post(delivery)
        except TimeoutError:
            return _Answer(None, f"no answer within {_TRY_SECONDS:g} seconds")
        except UrlRefusedError as error:
            return _Answer(None, f"the URL {error}")
        except (httpx.HTTPError, OSError) as error:
            return _Answer(None, f"{type(error).__name__}: {error}")
        except Exception:  # whatever it is, the others are sent
            log.exception("webhook_try_failed", delivery=delivery.id)
            return _Answer(None, "it could not be sent")
        return _Answer(status, None if 200 <= status < 300 else f"the answer was {status}")

    async def _post(self, delivery: Claimed) -> int:
        """Send it to the first address that can be reached; return the status of the answer."""
        url = ssrf.check_url(delivery.url, private=self._private)
        unreachable: httpx.TransportError | None = None
        for address in await ssrf.resolve(url, private=self._private):
            try:
                return await self._post_to(address, url, delivery)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                unreachable = error
        raise unreachable or OSError("the name has no address")

    async def _post_to(self, address: str, url: httpx.URL, delivery: Claimed) -> int:
        payload = delivery.payload.encode()
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            **signed_headers(delivery.secret, delivery.id, int(time.time()), payload),
        }
        # The certificate is checked against the name, though the connection goes to the address.
        tls = {"sni_hostname": url.raw_host.decode("ascii")}
        target = url.copy_with(host=address)
        async with self._http.stream(
            "POST", target, content=payload, headers=headers, extensions=tls
        ) as response:
            return response.status_code  # the body is nobody's concern

    def _settle(self, delivery: Claimed, answer: _Answer) -> None:
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
                until = now + _delay(delivery.attempt)
                held = delivery_rows.put_off(session, delivery, result, until=until)
        log.info(
            "webhook_tried",
            delivery=delivery.id,
            job=delivery.job_id,
            attempt=delivery.attempt,
            status=answer.status,
            error=answer.error,
            claim_held=held,
        )


def _delay(attempt: int) -> timedelta:
    """Return the wait after a try in vain, spread so that not all come back at once."""
    spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - nobody's secret
    return DELAYS[attempt - 1] * spread
