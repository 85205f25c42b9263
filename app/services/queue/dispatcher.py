"""The dispatcher: keeps every job moving when workers or messages are lost.

It runs in every API and worker process. Everything it does is a conditional update or a message
that may arrive twice, so any number of dispatchers may do the same work.
"""

import threading
import time
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.db.repositories import (
    events as event_rows,
    jobs as job_rows,
    leases as lease_rows,
    turns as turn_rows,
    workers as worker_rows,
)
from app.db.repositories.events import Event
from app.db.repositories.turns import QueuedJob
from app.services.jobs import endings
from app.services.queue import broker
from app.services.queue.broker import queue_for
from app.services.queue.messages import BrokerUnavailableError, Messages
from app.settings import Settings

_TICK_SECONDS = 1.0
# A job that was sent this long ago and is still queued is sent again: its message was lost, or a
# worker with a long job has prefetched it while another worker is idle. It is sent again only if an
# idle worker serves its queue: otherwise messages would pile up unread. At most half a lease: a
# short lease asks that lost workers, and so lost messages too, are noticed soon.
_RESEND_AFTER = timedelta(seconds=30)
WORKER_SEEN_WITHIN = timedelta(seconds=60)

_LOST = "The worker was lost as often as ACCRUE_MAX_FAILURES allows. Retry once workers are stable."
_EVENTS = {
    "cancelled": Event("cancelled", "Cancelled; its worker was lost."),
    "failed": Event("failed", _LOST, "error", {"code": "worker-lost"}),
    "queued": Event("requeued", "The worker was lost; the job waits for another.", "warning"),
}

# The warning for a job that has waited this long while no worker serves its hardware.
_UNSERVED_AFTER = timedelta(seconds=60)
_UNSERVED = {
    "any": Event("warning", "No worker is running. Start one: the job waits for it.", "warning"),
    "gpu": Event(
        "warning", "No worker with a GPU is running. Start one: the job waits for it.", "warning"
    ),
}

log = structlog.get_logger(__name__)


class Dispatcher:
    """Frees the jobs of lost workers, sends queued jobs, and warns where no worker serves them."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._messages = Messages(settings)
        self._resend_after = min(_RESEND_AFTER, timedelta(seconds=settings.lease_seconds / 2))
        self._warned: set[tuple[str, str]] = set()
        # Leases run out while nobody can extend them. So after an outage of the database, workers
        # that live get twice the time between two heartbeats before their jobs count as lost.
        self._free_not_before = 0.0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Start the thread, which runs `tick` every second."""
        broker.remove_expired(self._settings)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Have the thread run `tick` now: a job was created or has ended. Never blocks."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread once its current `tick` is done."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._messages.close()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.tick()
            except SQLAlchemyError as error:
                # The database is unreachable or locked; the next tick does the same work.
                self._free_not_before = time.monotonic() + self._settings.lease_seconds / 3
                log.warning("dispatcher_tick_failed", error=error)
            except Exception:  # an error of any kind must not end the thread
                log.exception("dispatcher_tick_failed")
            self._wake.wait(_TICK_SECONDS)
            self._wake.clear()

    def tick(self) -> None:
        """Free the jobs of lost workers, and send the jobs that wait."""
        with self._db.reading() as session:
            if not job_rows.any_unfinished(session):
                return
        self._free_lost()
        self._send_waiting()

    def _free_lost(self) -> None:
        if time.monotonic() < self._free_not_before:
            return
        with self._db.reading() as session:
            if not lease_rows.any_expired(session, now=self._db.now(session)):
                return
        with self._db.transaction() as session:
            now = self._db.now(session)
            error = {"code": "worker-lost", "detail": _LOST, "retryable": True}
            limit = self._settings.max_failures
            freed = lease_rows.free_expired(session, now=now, max_failures=limit, error=error)
            for state, job_ids in freed.items():
                write = event_rows.append if state == "queued" else endings.announce
                for job_id in job_ids:
                    write(session, job_id, [_EVENTS[state]], now=now)
                    log.warning("lease_expired", job=job_id, state=state)

    def _send_waiting(self) -> None:
        with self._db.reading() as session:
            now = self._db.now(session)
            waiting = turn_rows.waiting(session, now=now)
            seen_since = now - WORKER_SEEN_WITHIN
            old = [job for job in waiting if job.sent_at and job.sent_at < now - self._resend_after]
            idle = worker_rows.queues(session, seen_since, idle=True) if old else set()
            late = [job for job in waiting if job.created_at < now - _UNSERVED_AFTER]
            served = worker_rows.queues(session, seen_since) if late else set()
        self._warn([job for job in late if queue_for(job.hardware) not in served])
        due = [job for job in waiting if job.sent_at is None]
        due += [job for job in old if queue_for(job.hardware) in idle]
        sent: list[str] = []
        try:
            for job in due:
                self._messages.send(job.id, job.hardware)
                sent.append(job.id)
        except BrokerUnavailableError as error:
            log.warning("broker_unavailable", error=error)
        finally:
            # Recorded in any case: otherwise the job would be sent again at every tick.
            self._mark_sent(sent)

    def _mark_sent(self, sent: list[str]) -> None:
        if sent:
            with self._db.transaction() as session:
                turn_rows.mark_sent(session, sent, now=self._db.now(session))

    def _warn(self, unserved: list[QueuedJob]) -> None:
        # This process tries each warning once; `warn_queued` skips those that others have given.
        wanted = {(job.id, job.hardware) for job in unserved}
        for job_id, hardware in wanted - self._warned:
            with self._db.transaction() as session:
                now = self._db.now(session)
                job_rows.warn_queued(session, job_id, _UNSERVED[hardware], now=now)
        self._warned = wanted
