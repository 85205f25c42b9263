"""The lease of a claimed job: every write of one attempt, under its fencing token.

The token is the attempt's number; a worker that lost the job writes nothing. Writes are retried
while the database is locked or the storage does not answer: hours of work must not be lost to that.
"""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, Self, TypeVar

import structlog
from sqlalchemy.orm import Session

from app.db.engine import UNAVAILABLE, Database
from app.db.repositories import (
    checkpoints as checkpoint_rows,
    events as event_rows,
    jobs as job_rows,
    leases as lease_rows,
    turns as turn_rows,
)
from app.db.repositories.events import Event
from app.db.tables import Job
from app.services import stored
from app.services.advice import ending, planning
from app.services.advice.ending import Advised
from app.services.advice.requests import KIND
from app.services.jobs import checkpoints, endings
from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.steps import evaluating, publication, starting
from app.services.steps.plans import JobPlan, Plan
from app.services.steps.publication import Outcome
from app.settings import Settings
from app.storage import BlobStore, open_store
from worker import retrying
from worker.protocol import Failure, Finding

T = TypeVar("T")

_RETRY_SECONDS = 0.5
# The share of a lease for which a storage that does not answer is retried. In the rest of it the
# job is still held, so the failure can be recorded; later, the job would count as lost.
_STORAGE_SHARE = 2 / 3

log = structlog.get_logger(__name__)


class Lease:
    """One attempt's lease of a job."""

    def __init__(self, db: Database, settings: Settings, job: Job) -> None:
        self._db = db
        self._max_failures = settings.max_failures
        self._storage_url = settings.storage_url
        self._length = timedelta(seconds=settings.lease_seconds)
        self._extended = time.monotonic()
        self.job_id = job.id
        self.attempt = job.attempt
        # Not by `request_of`: a request that this release cannot read must not stop the queue here.
        # Its plan is refused, and the job fails.
        self.max_minutes: float | None = job.request.get("max_minutes")

    @classmethod
    def claim(cls, db: Database, settings: Settings, job_id: str, worker_id: str) -> Self | None:
        """Claim the job; None where another worker was faster, or it cannot be claimed now."""
        with db.transaction() as session:
            now = db.now(session)
            attempt = lease_rows.claim(
                session,
                job_id,
                worker=worker_id,
                now=now,
                lease=timedelta(seconds=settings.lease_seconds),
            )
            job = job_rows.get(session, job_id) if attempt is not None else None
            if job is None:
                return None
            started = Event("started", f"Attempt {attempt}.", data={"attempt": attempt})
            event_rows.append(session, job_id, [started], now=now)
            return cls(db, settings, job)

    @classmethod
    def requeue_unknown(cls, db: Database, worker_id: str) -> None:
        """Requeue what this worker, which has no job, may have claimed without an answer."""
        requeued = Event("requeued", "The answer to a claim was lost; the job waits for another.")
        with db.transaction() as session:
            now = db.now(session)
            for job_id in lease_rows.requeue_claims_of(session, worker_id):
                event_rows.append(session, job_id, [requeued], now=now)

    @classmethod
    def claim_next(
        cls, db: Database, settings: Settings, hardware: str, worker_id: str
    ) -> Self | None:
        """Claim the job for this hardware whose turn it is; None where none can be claimed."""
        with db.reading() as session:
            waiting = turn_rows.in_turn(session, hardware, now=db.now(session))
        leases = (cls.claim(db, settings, job_id, worker_id) for job_id in waiting)
        return next((lease for lease in leases if lease is not None), None)

    def plan(self) -> JobPlan:
        """Make the job's plan. Raises ServiceError where the job cannot be done."""

        def load() -> Callable[[], JobPlan]:
            with self._db.transaction() as session:
                job = job_rows.get(session, self.job_id)
                assert job is not None  # noqa: S101 - jobs that are held are not deleted
                planner = planning.planner if job.kind == KIND else starting.planner
                return planner(session, job)

        return self._persist(load)()

    def checkpoint(self) -> SavedCheckpoint | None:
        """Return the checkpoint that an earlier attempt saved, None without one."""
        return self._read(checkpoints.newest)

    def record_checkpoint(self, saved: SavedCheckpoint) -> None:
        """Make a checkpoint the job's newest and delete the one before it.

        Nothing is written where the attempt lost the job. Raises one of `UNAVAILABLE`, OSError and
        StorageChangedError.
        """
        self._delete_released(
            checkpoints.record(self._db, self._store, self.job_id, self.attempt, saved)
        )

    def heartbeat(
        self, values: dict[str, Any], events: Sequence[Event], *, extend: bool
    ) -> str | None:
        """Write a heartbeat with job phase, progress and events; `extend` the lease or leave it.

        Return the job's state, None where the attempt lost the job. Raises one of `UNAVAILABLE`.
        """
        begun = time.monotonic()
        with self._db.transaction() as session:
            now = self._db.now(session)
            lease = self._length if extend else None
            state = lease_rows.heartbeat(
                session, self.job_id, self.attempt, now=now, lease=lease, values=values
            )
            if state is not None:
                unsaid = event_rows.without_known_warnings(session, self.job_id, events)
                event_rows.append(session, self.job_id, unsaid, now=now)
        if extend:
            self._extended = begun
        return state

    def write_last(self, values: dict[str, Any], events: Sequence[Event]) -> None:
        """Write the last job phase, progress and events before the attempt ends.

        Raises one of `UNAVAILABLE` where the database is unavailable for longer than the lease.
        """
        self._persist(lambda: self.heartbeat(values, events, extend=True))

    def state(self) -> str | None:
        """Return ``running`` or ``cancelling``, None where the attempt lost the job."""
        with self._db.reading() as session:
            return lease_rows.held_state(session, self.job_id, self.attempt)

    def publish(self, plan: Plan, outcome: Outcome) -> int | None:
        """Publish the version and return its number; None where the job was lost or cancelled.

        Nothing is published where it raises: ServiceError where the plan no longer applies, OSError
        where the storage does not answer.
        """
        published = self._persist(
            lambda: publication.publish(self._db, self._store, plan, self.attempt, outcome)
        )
        if published is None:
            # Where the job is still held, it is cancelling.
            if not self.cancelled():
                log.warning("publish_refused", job=self.job_id, attempt=self.attempt)
            return None
        self._persist(lambda: self._delete_released(published.released))
        return published.number

    def record(self, finding: Finding) -> bool:
        """Record what was found out and end the job; False where it was lost or cancelled."""

        def succeed() -> bool:
            if isinstance(finding, Advised):
                return ending.succeed(self._db, self.job_id, self.attempt, finding)
            return evaluating.succeed(self._db, self.job_id, self.attempt, finding)

        if self._persist(succeed):
            return True
        # Where the job is still held, it is cancelling.
        self.cancelled()
        return False

    def cancelled(self) -> bool:
        """End the job as cancelled; False where the attempt lost it."""
        return self._finish("cancelled", Event("cancelled", "Cancelled."))

    def hand_back(self) -> None:
        """Requeue the job without counting a failure; where it is cancelling, cancel it."""
        self._requeue(Event("requeued", "The worker stops; the job waits for another."))

    def fail(self, failure: Failure) -> None:
        """Requeue the job while its failures allow another attempt, else end it as failed.

        The next attempt starts after a pause, and an outage counts apart: see `retrying`. Where the
        job is cancelling, it is cancelled instead.
        """
        job = self._read(job_rows.get)
        # Only the holder of the attempt counts failures, so what was read stays true.
        if failure.again and job is not None:
            outage = retrying.is_outage(failure, job.outages)
            if outage or job.failures + 1 < self._max_failures:
                pause = retrying.pause(failure, job.failures + job.outages)
                self._requeue_failed(failure, pause, outage=outage)
                return
        error = {"code": failure.code, "detail": failure.detail, "retryable": failure.retryable}
        event = Event("failed", failure.detail, "error", {"code": failure.code})
        if not self._finish("failed", event, error):
            self.cancelled()  # an accepted cancel wins, however the attempt ended

    def _requeue_failed(self, failure: Failure, pause: timedelta, *, outage: bool) -> None:
        seconds = pause.total_seconds()
        said = f"Trying again in {seconds:.0f} s." if pause else "Trying again."
        data = {"code": failure.code, "pause_seconds": round(seconds, 1)}
        event = Event("requeued", f"{failure.detail} {said}", "warning", data)
        self._requeue(event, failure, pause, outage=outage)

    def _requeue(
        self,
        event: Event,
        failure: Failure | None = None,
        pause: timedelta = timedelta(),
        *,
        outage: bool = False,
    ) -> None:
        def requeue() -> bool:
            with self._db.transaction() as session:
                now = self._db.now(session)
                failed = None
                if failure is not None:
                    not_before = now + pause if pause else None
                    failed = lease_rows.Failed(failure.code, failure.detail, not_before, outage)
                if not lease_rows.requeue(session, self.job_id, self.attempt, failed):
                    return False
                event_rows.append(session, self.job_id, [event], now=now)
                return True

        if not self._persist(requeue):
            self.cancelled()  # a job that is held and cannot be requeued is cancelling

    def _finish(self, state: str, event: Event, error: dict[str, Any] | None = None) -> bool:
        def finish() -> list[str] | None:
            with self._db.transaction() as session:
                now = self._db.now(session)
                held = lease_rows.finish(
                    session, self.job_id, self.attempt, state, now=now, error=error
                )
                if not held:
                    return None
                endings.announce(session, self.job_id, [event], now=now)
                if error is None or error["retryable"]:
                    return []  # a retry resumes from the checkpoint
                return checkpoint_rows.remove(session, self.job_id)

        released = self._persist(finish)
        if released is None:
            return False
        self._persist(lambda: self._delete_released(released))
        return True

    def _delete_released(self, released: Sequence[str]) -> None:
        """Delete blobs that a transaction released, if nothing refers to them after its commit."""
        if released:
            stored.delete_unreferenced(self._db, self._store, released)

    @cached_property
    def _store(self) -> BlobStore:
        return open_store(self._storage_url)

    def _read(self, query: Callable[[Session, str], T]) -> T:
        """Return what a query finds of the job, once the database answers."""

        def read() -> T:
            with self._db.reading() as session:
                return query(session, self.job_id)

        return self._persist(read)

    def _persist(self, write: Callable[[], T]) -> T:
        """Retry a read or a write while the lease lasts; later the job is another worker's."""
        length = self._length.total_seconds()
        without_database = time.monotonic() + length
        without_storage = self._extended + length * _STORAGE_SHARE
        while True:
            try:
                return write()
            except (*UNAVAILABLE, OSError) as error:
                storage = isinstance(error, OSError)
                if time.monotonic() > (without_storage if storage else without_database):
                    raise
                log.warning("write_refused", job=self.job_id, error=error)
                time.sleep(_RETRY_SECONDS)
