"""The worker's side of a job: claims it, follows its training process, ends both."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import UNAVAILABLE, Database
from app.db.repositories import turns as turn_rows
from app.db.repositories.events import Event
from app.errors import ServiceError
from app.ids import new_id
from app.logs import described
from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.queue.broker import queue_for
from app.services.steps.plans import Plan
from app.services.steps.publication import Outcome
from app.services.stored import StorageChangedError
from app.settings import Settings
from worker.lease import Lease
from worker.processes import TrainingProcess
from worker.protocol import Failure, Finding, Quiet, Report, Resources, Result, Stopped

# How long one read of the pipe waits, and so how soon a stop of the worker takes effect.
_TICK_SECONDS = 0.1
# Progress and events are written at most this often.
_WRITE_SECONDS = 0.25
# The job's state is read this often, to find a cancel.
_STATE_SECONDS = 1.0
# A process that sends no message for this long hangs, and heartbeats no longer extend the lease. It
# announces calls that may take longer (`Quiet`).
_SILENCE_SECONDS = 60.0
# How long a process may take to save a checkpoint when its worker stops. With the time to end it,
# this is well within the ten seconds that a container has for a graceful shutdown.
_STOP_SECONDS = 5.0

log = structlog.get_logger(__name__)


class End(Enum):
    """Why a process was ended before it had an outcome."""

    CANCELLED = "cancelled"
    TIME_UP = "time up"
    LOST = "lost"
    STOPPING = "stopping"


class Runner:
    """Runs one job at a time; `stop` returns the running one to the queue."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        worker_id: str,
        queues: Sequence[str],
        resources: Resources,
        on_end: Callable[[], None],
    ) -> None:
        """Take jobs of these queues. `on_end` is called after each job: another one may start."""
        self._db = db
        self._settings = settings
        self._worker_id = worker_id
        self._queues = queues
        self._resources = resources
        self._on_end = on_end
        self._stopping = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._heard = threading.Event()
        self._claim_unknown = False
        self.busy = False

    def stop(self) -> None:
        """Graceful shutdown: take no more jobs, save the running one and return it to the queue."""
        self._stopping.set()

    def hear(self, job_id: str) -> None:
        """Handle a message that names a job."""
        self._heard.set()
        self.run(job_id)

    def take_heard(self) -> bool:
        """Say whether a message has come since the last call."""
        heard = self._heard.is_set()
        self._heard.clear()
        return heard

    def run(self, job_id: str) -> None:
        """Run the job whose turn it is in the queue of the named one, if there is any."""
        with self._one_at_a_time:
            if not self._stopping.is_set():
                self._run(job_id)

    def _run(self, named: str) -> None:
        self.busy = True
        lease = None
        try:
            lease = self._claim(named)
            if lease is not None:
                self._attempt(lease)
        except UNAVAILABLE as error:
            if lease is None:
                # Whether a claim was committed is not known.
                self._claim_unknown = True
                log.warning("database_unavailable", named=named, error=error)
            else:
                self._give_up(lease, error)
        except SQLAlchemyError:
            # Nothing can be written: the lease runs out and a dispatcher requeues the job that was
            # claimed, often not the named one. Without a claim there is none.
            log.exception("job_abandoned", job=lease.job_id if lease else None, named=named)
        finally:
            self.busy = False
            self._on_end()

    def _give_up(self, lease: Lease, error: Exception) -> None:
        """Requeue a job whose end could not be written, once the database answers.

        Until then there is no other job to run. If this worker stops first, the lease runs out.
        """
        detail = f"The database did not answer: {getattr(error, 'orig', None) or error}."
        failure = Failure("database-unavailable", detail, again=True, retryable=True)
        log.warning("job_given_up", job=lease.job_id, attempt=lease.attempt, error=error)
        while not self._stopping.is_set():
            try:
                lease.fail(failure)
            except UNAVAILABLE:  # the lease has logged every try
                continue
            return

    def _claim(self, named: str) -> Lease | None:
        if self._claim_unknown:
            Lease.requeue_unknown(self._db, self._worker_id)
            self._claim_unknown = False
        with self._db.reading() as session:
            hardware = turn_rows.hardware_of(session, named)
        # The classifier's hardware may have been changed since the message was sent.
        if hardware is None or queue_for(hardware) not in self._queues:
            return None
        return Lease.claim_next(self._db, self._settings, hardware, self._worker_id)

    def _attempt(self, lease: Lease) -> None:
        bound = log.bind(job=lease.job_id, attempt=lease.attempt)
        bound.info("job_started")
        try:
            plan = lease.plan()
            process = TrainingProcess(plan, self._resources, lease.checkpoint())
        except ServiceError as error:
            lease.fail(Failure(error.code, error.detail, again=False, retryable=False))
            return
        except (OSError, EOFError) as error:
            lease.fail(_lost(f"No training process could be started: {described(error)}."))
            return
        follower = _Follower(lease, process, self._settings, self._stopping)
        try:
            end = follower.until_end()
        finally:
            # The process ends before the job is released, and before any wait for the database.
            process.end()
        if end is not End.LOST:
            follower.write_rest(end)
        if isinstance(end, Finding):
            recorded = lease.record(end)
            bound.info("job_ended", how="recorded" if recorded else "lost or cancelled")
            return
        if isinstance(end, Outcome):
            assert isinstance(plan, Plan)  # noqa: S101 - only such plans have this outcome
            failure = _publish(lease, plan, end)
            if failure is None:
                return
            end = failure
        bound.info("job_ended", how=end)
        if isinstance(end, Failure):
            lease.fail(end)
        elif end is End.CANCELLED:
            lease.cancelled()
        elif end is End.STOPPING:
            lease.hand_back()
        elif end is End.TIME_UP:
            detail = f"Not finished after max_minutes ({lease.max_minutes:g})."
            lease.fail(Failure("timed-out", detail, again=False, retryable=True))


def _publish(lease: Lease, plan: Plan, outcome: Outcome) -> Failure | None:
    """Publish the outcome; return the failure where that cannot be done.

    Losing the job is not a failure.
    """
    try:
        number = lease.publish(plan, outcome)
    except ServiceError as error:
        return Failure(error.code, error.detail, again=False, retryable=True)
    except OSError as error:  # the storage, for as long as the lease lasted
        return Failure(
            "storage-failed", f"Not published: {described(error)}.", again=True, retryable=True
        )
    bound = log.bind(job=lease.job_id, attempt=lease.attempt)
    if number is None:
        bound.info("job_ended", how="lost or cancelled")
    else:
        bound.info("job_published", version=number)
    return None


class _Follower:
    """Follows one training process: its messages go to the database, orders to stop go to it."""

    def __init__(
        self,
        lease: Lease,
        process: TrainingProcess,
        settings: Settings,
        stopping: threading.Event,
    ) -> None:
        self._lease = lease
        self._process = process
        self._stopping = stopping
        self._grace = settings.cancel_grace_seconds
        self._extend_every = settings.lease_seconds / 6
        self._started = self._written = self._state_read = time.monotonic()
        self._hangs_at = self._started + _SILENCE_SECONDS
        self._values: dict[str, Any] = {}
        self._events: list[Event] = []
        self._phase: str | None = None
        self._progress: dict[str, Any] = {}
        self._state: str | None = "running"
        self._ordered: End | None = None
        self._deadline = 0.0

    def until_end(self) -> Result | Failure | End:
        """Return the outcome, or why there is none. The process may still run."""
        while True:
            for message in self._process.receive(_TICK_SECONDS):
                quiet = message.seconds if isinstance(message, Quiet) else _SILENCE_SECONDS
                self._hangs_at = time.monotonic() + quiet
                if isinstance(message, Quiet):
                    continue
                if isinstance(message, Report):
                    self._add_report(message)
                elif isinstance(message, SavedCheckpoint):
                    self._record_checkpoint(message)
                elif isinstance(message, Stopped):
                    return self._ordered or End.CANCELLED
                else:
                    return message
            if self._process.ended:
                return self._ordered or _lost(
                    f"The training process {self._process.describe_end()}."
                )
            self._heartbeat_if_due()
            if self._state is None:
                return End.LOST
            self._stop_if_due()
            if self._ordered is not None and time.monotonic() >= self._deadline:
                return self._ordered

    def write_rest(self, end: Result | Failure | End) -> None:
        """Write pending progress and events before the attempt ends; waits for the database.

        Raises one of `UNAVAILABLE` where that is unavailable for longer than the lease.
        """
        if isinstance(end, Result):
            self._values["progress"] = {**self._progress, "fraction": 1.0}
        if self._values or self._events:
            self._lease.write_last(self._values, self._events)

    def _add_report(self, report: Report) -> None:
        if report.phase != self._phase:
            self._phase = report.phase
            self._add_events(Event("phase", report.phase, data={"phase": report.phase}))
            self._written = float("-inf")  # written at once
        self._progress = report.progress
        self._values = {"phase": report.phase, "progress": report.progress}
        self._add_events(*report.events)

    def _add_events(self, *events: Event) -> None:
        # A heartbeat whose commit has no answer is repeated, though it may have been written.
        self._events += [replace(event, identity=new_id("evt")) for event in events]

    def _heartbeat_if_due(self) -> None:
        now = time.monotonic()
        pending = bool(self._values or self._events)
        if now - self._written >= (_WRITE_SECONDS if pending else self._extend_every):
            self._heartbeat()
        elif now - self._state_read >= _STATE_SECONDS:
            self._state_read = now
            try:
                self._state = self._lease.state()
            except UNAVAILABLE as error:
                log.warning("database_unavailable", job=self._lease.job_id, error=error)

    def _heartbeat(self) -> None:
        now = time.monotonic()
        self._written = self._state_read = now
        extend = now < self._hangs_at
        try:
            self._state = self._lease.heartbeat(self._values, self._events, extend=extend)
        except UNAVAILABLE as error:
            # The next heartbeat writes all of it. If the lease expires first, the fencing token
            # decides.
            log.warning("database_unavailable", job=self._lease.job_id, error=error)
            return
        self._values, self._events = {}, []

    def _record_checkpoint(self, saved: SavedCheckpoint) -> None:
        try:
            self._lease.record_checkpoint(saved)
        except (*UNAVAILABLE, OSError, StorageChangedError) as error:
            # The one before stays, and the next one comes soon.
            log.warning("checkpoint_not_recorded", job=self._lease.job_id, error=error)

    def _stop_if_due(self) -> None:
        """Order the process to stop if there is a reason; the worker's own stop replaces others."""
        limit = self._lease.max_minutes
        if self._ordered is End.STOPPING:
            return
        if self._stopping.is_set():
            self._order(End.STOPPING, _STOP_SECONDS)
        elif self._ordered is not None:
            return
        elif self._state == "cancelling":
            self._order(End.CANCELLED, self._grace)
        elif limit is not None and time.monotonic() - self._started >= 60 * limit:
            self._order(End.TIME_UP, self._grace)

    def _order(self, end: End, seconds: float) -> None:
        self._ordered, self._deadline = end, time.monotonic() + seconds
        self._process.order_stop(saving=end is not End.CANCELLED)


def _lost(detail: str) -> Failure:
    return Failure("worker-lost", detail, again=True, retryable=True)
