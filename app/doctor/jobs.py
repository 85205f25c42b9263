"""What the database knows: workers that live, jobs that are stuck, what is late."""

from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

from app.db.repositories import fleet as fleet_rows
from app.db.repositories.fleet import FleetCounts
from app.doctor.findings import CheckContext, Finding, Say
from app.doctor.opening import NoDatabaseError, opened
from app.services.queue.broker import TRAIN_QUEUE, queue_for
from app.services.queue.dispatcher import WORKER_SEEN_WITHIN

_LONG_SECONDS = 1800.0
_LATE_SECONDS = 3600.0


def check(context: CheckContext) -> Iterator[Finding]:
    """Look at workers, jobs, the sweep and webhooks."""
    say = Say("jobs")
    try:
        with opened(context) as database, database.reading() as session:
            now = database.now(session)
            counts = fleet_rows.counts(session, now=now, workers_since=now - WORKER_SEEN_WITHIN)
    except (NoDatabaseError, SQLAlchemyError):
        yield say.skipped("Nothing is known of workers and jobs without the database")
        return
    yield from _workers(counts)
    yield from _stuck(say, counts)
    waits = {
        hardware: (now - found.since).total_seconds() for hardware, found in counts.waiting.items()
    }
    for hardware, seconds in waits.items():
        if seconds > _LONG_SECONDS:
            yield say.warning(
                f"A job waits in the queue {queue_for(hardware)} for {seconds / 60:.0f} minutes",
                "If all workers are busy, add some; if not, restart those that are idle.",
            )
    late = 0.0 if counts.sweep_due_at is None else (now - counts.sweep_due_at).total_seconds()
    if late > _LATE_SECONDS:
        yield say.warning(
            f"The storage should have been swept {late / 3600:.1f} hours ago",
            "API processes sweep: is one running? Look for housekeeping_failed in its log.",
        )
    if retrying := counts.deliveries.get("retrying", 0):
        yield say.warning(
            f"{retrying} deliveries to webhooks have failed and are tried again",
            "`webhook_tried` in the log of the API says why.",
        )
    under_way = sum(count for (_, state), count in counts.jobs.items() if state == "running")
    waiting = sum(found.jobs for found in counts.waiting.values())
    yield say.ok(f"{under_way} running, {waiting} waiting for a worker")


def _workers(counts: FleetCounts) -> Iterator[Finding]:
    say = Say("workers")
    served = {queue for queue, _ in counts.workers}
    unserved = {queue_for(hardware) for hardware in counts.waiting} - served
    for queue in sorted(unserved):
        gpu = ", on a machine with a GPU" if queue == TRAIN_QUEUE else ""
        yield say.problem(
            f"Jobs wait in the queue {queue}, which no worker serves",
            f"Start one{gpu}: `accrue worker`.",
        )
    if counts.workers:
        alive = (f"{n} for {queue} on {device}" for (queue, device), n in counts.workers.items())
        yield say.ok(f"Alive: {', '.join(sorted(alive))}")
    elif not unserved:
        yield say.warning("No worker was seen within a minute", "If one should run, start it.")


def _stuck(say: Say, counts: FleetCounts) -> Iterator[Finding]:
    if counts.expired_leases:
        yield say.problem(
            f"Jobs that lost their worker, and nobody frees: {counts.expired_leases}",
            "Every API and worker process does so within seconds: start one, or see its log for "
            "dispatcher_tick_failed.",
        )
    if lost := counts.failures.get("worker-lost"):
        yield say.warning(
            f"Jobs that failed because they lost their worker again and again: {lost}",
            "Most likely they need more memory than a worker has. Retry them with more.",
        )
