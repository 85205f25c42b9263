"""The parent's side of a job: claims it, watches its training process, ends both."""

import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import UNAVAILABLE, Database
from app.db.repositories import turns as turn_rows
from app.db.repositories.events import Event
from app.errors import ServiceError
from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.queue.broker import queue_for
from app.services.steps.plans import Plan
from app.services.steps.publication import Outcome
from app.services.stored import StorageChangedError
from app.settings import Settings
from worker.lease import Lease
from worker.processes import TrainingProcess
from worker.protocol import Failure, Quiet, Report, Resources, Stopped

# How long one look at the pipe waits, and so how soon a stop of the worker is seen.
_TICK_SECONDS = 0.1
# Progress and events are written at most this often.
_WRITE_SECONDS = 0.25
_LOOK_SECONDS = 1.0
# A process that says nothing for so long hangs: its lease is no longer extended. Before a call that
# may take longer it says so (`Quiet`).
_SILENCE_SECONDS = 60.0
# How long a process may take to save a checkpoint when its worker stops. With what ending it takes,
# well within the ten seconds that containers are given.
_STOP_SECONDS = 5.0

log = structlog.get_logger(__name__)


class End(Enum):
    """Why a process was ended before it had a result."""

    CANCELLED = "cancelled"
    TIME_UP = "time up"
    LOST = "lost"
    STOPPING = "stopping"


class Runner:
    """Runs one job at a time; `stop` hands the running one back to the queue."""

    def __init__(
        self,
        db: Database,
        settings: Settings,
        worker_id: str,
        queues: Sequence[str],
        resources: Resources,
        on_end: Callable[[], None],
    ) -> None:
        """Take jobs of these queues.

        `on_end` is called after each job, when another one may be free to start.
        """
        self._db = db
        self._settings = settings
        self._worker_id = worker_id
        self._queues = queues
        self._resources = resources
        self._on_end = on_end
        self._stopping = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._heard = threading.Event()
        self.busy = False

    def stop(self) -> None:
        """Take no more jobs; end the running one's process and put the job back."""
        self._stopping.set()

    def hear(self, job_id: str) -> None:
        """Act on a message that names a job."""
        self._heard.set()
        self.run(job_id)

    def take_heard(self) -> bool:
        """Say whether a message has come since this was asked last."""
        heard = self._heard.is_set()
        self._heard.clear()
        return heard

    def run(self, job_id: str) -> None:
        """Run the job whose turn it is in the queue of the one that is named, if there is any."""
        with self._one_at_a_time:
            if not self._stopping.is_set():
                self._run(job_id)

    def _run(self, job_id: str) -> None:
        self.busy = True
        try:
            lease = self._claim(job_id)
            if lease is not None:
                self._attempt(lease)
        except SQLAlchemyError:
            # Nothing can be written down: the lease runs out and a dispatcher frees the job.
            log.exception("job_abandoned", job=job_id)
        finally:
            self.busy = False
            self._on_end()

    def _claim(self, named: str) -> Lease | None:
        with self._db.reading() as session:
            hardware = turn_rows.hardware_of(session, named)
        # Its classifier may have been changed since the message was sent.
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
            lease.fail(_lost(f"No training process could be started: {error}."))
            return
        watch = _Watch(lease, process, self._settings, self._stopping)
        try:
            end = watch.until_end()
        finally:
            # It is gone before the job is anybody else's, and while the database is waited for.
            process.end()
        if end is not End.LOST:
            watch.write_rest(end)
        if isinstance(end, Outcome):
            failure = _publish(lease, plan, end)
            if failure is None:
                return
            end = failure
        bound.info("job_ended", how=str(end))
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
    """Publish what came out; return why it cannot be. That the job is lost is no failure."""
    try:
        number = lease.publish(plan, outcome)
    except ServiceError as error:
        return Failure(error.code, error.detail, again=False, retryable=True)
    except OSError as error:  # the storage, for as long as the lease lasted
        return Failure("storage-failed", f"Not published: {error}.", again=True, retryable=True)
    bound = log.bind(job=lease.job_id, attempt=lease.attempt)
    if number is None:
        bound.info("job_ended", how="lost or cancelled")
    else:
        bound.info("job_published", version=number)
    return None


class _Watch:
    """Follows one training process: brings its words to the database, and cancel to it."""

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
        self._started = self._written = self._looked = time.monotonic()
        self._hangs_at = self._started + _SILENCE_SECONDS
        self._values: dict[str, Any] = {}
        self._events: list[Event] = []
        self._phase: str | None = None
        self._progress: dict[str, Any] = {}
        self._state: str | None = "running"
        self._asked: End | None = None
        self._deadline = 0.0

    def until_end(self) -> Outcome | Failure | End:
        """Return what came out, or why nothing did. The process may still be there."""
        while True:
            for message in self._process.receive(_TICK_SECONDS):
                quiet = message.seconds if isinstance(message, Quiet) else _SILENCE_SECONDS
                self._hangs_at = time.monotonic() + quiet
                if isinstance(message, Quiet):
                    continue
                if isinstance(message, Report):
                    self._note(message)
                elif isinstance(message, SavedCheckpoint):
                    self._keep(message)
                elif isinstance(message, Stopped):
                    return self._asked or End.CANCELLED
                else:
                    return message
            if self._process.ended:
                return self._asked or _lost(f"The training process {self._process.describe_end()}.")
            self._beat()
            if self._state is None:
                return End.LOST
            self._ask()
            if self._asked is not None and time.monotonic() >= self._deadline:
                return self._asked

    def write_rest(self, end: Outcome | Failure | End) -> None:
        """Write what is not written yet, before what ends the attempt; waits for the database.

        Raises one of `UNAVAILABLE` where that is away for longer than the lease.
        """
        if isinstance(end, Outcome):
            self._values["progress"] = {**self._progress, "fraction": 1.0}
        if self._values or self._events:
            self._lease.write_last(self._values, self._events)

    def _note(self, report: Report) -> None:
        if report.phase != self._phase:
            self._phase = report.phase
            self._events.append(Event("phase", report.phase, data={"phase": report.phase}))
            self._written = float("-inf")  # seen at once
        self._progress = report.progress
        self._values = {"phase": report.phase, "progress": report.progress}
        self._events.extend(report.events)

    def _beat(self) -> None:
        now = time.monotonic()
        news = bool(self._values or self._events)
        if now - self._written >= (_WRITE_SECONDS if news else self._extend_every):
            self._write()
        elif now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            try:
                self._state = self._lease.state()
            except UNAVAILABLE as error:
                log.warning("database_unavailable", job=self._lease.job_id, error=str(error))

    def _write(self) -> None:
        now = time.monotonic()
        self._written = self._looked = now
        extend = now < self._hangs_at
        try:
            self._state = self._lease.write(self._values, self._events, extend=extend)
        except UNAVAILABLE as error:
            # Kept for the next time. Should the lease run out meanwhile, the fence decides.
            log.warning("database_unavailable", job=self._lease.job_id, error=str(error))
            return
        self._values, self._events = {}, []

    def _keep(self, saved: SavedCheckpoint) -> None:
        try:
            self._lease.keep(saved)
        except (*UNAVAILABLE, OSError, StorageChangedError) as error:
            # The one before still stands, and the next one will not be long.
            log.warning("checkpoint_not_kept", job=self._lease.job_id, error=str(error))

    def _ask(self) -> None:
        """Ask the process to stop if there is a reason to. A worker that stops waits for none."""
        limit = self._lease.max_minutes
        if self._asked is End.STOPPING:
            return
        if self._stopping.is_set():
            self._ask_for(End.STOPPING, _STOP_SECONDS)
        elif self._asked is not None:
            return
        elif self._state == "cancelling":
            self._ask_for(End.CANCELLED, self._grace)
        elif limit is not None and time.monotonic() - self._started >= 60 * limit:
            self._ask_for(End.TIME_UP, self._grace)

    def _ask_for(self, end: End, seconds: float) -> None:
        self._asked, self._deadline = end, time.monotonic() + seconds
        self._process.ask_to_stop(saving=end is not End.CANCELLED)


def _lost(detail: str) -> Failure:
    return Failure("worker-lost", detail, again=True, retryable=True)
