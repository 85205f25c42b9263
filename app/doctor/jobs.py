"""Checks workers, stuck jobs, the sweep and webhooks, as the database knows them."""

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
    """Check workers, jobs, the sweep and webhooks."""
    say = Say("jobs")
    try:
        with opened(context) as database, database.reading() as session:
            now = database.now(session)
            counts = fleet_rows.counts(session, now=now, workers_since=now - WORKER_SEEN_WITHIN)
    except (NoDatabaseError, SQLAlchemyError):
        yield say.skipped("Workers and jobs are not known without the database")
        return
    yield from _workers(counts)
    yield from _stuck(say, counts)
    for hardware, found in counts.waiting.items():
        seconds = (now - found.since).total_seconds()
        if seconds > _LONG_SECONDS:
            yield say.warning(
                f"A job has waited in the queue {queue_for(hardware)} for {seconds / 60:.0f} "
                "minutes",
                "If all workers are busy, add some; otherwise restart the idle ones.",
            )
    late = 0.0 if counts.sweep_due_at is None else (now - counts.sweep_due_at).total_seconds()
    if late > _LATE_SECONDS:
        yield say.warning(
            f"The hourly sweep of the storage is {late / 3600:.1f} hours late",
            "API processes sweep. Start one, or look for housekeeping_failed in its log.",
        )
    if counts.sweep_error is not None:
        what = "The last sweep of the storage failed"
        if counts.undeleted_blobs:
            what = f"The last sweep could not delete {counts.undeleted_blobs} unneeded blobs"
        yield say.warning(
            f"{what}: {counts.sweep_error}",
            "Let the service delete there: s3:DeleteObject in a bucket, a folder that this user "
            "may write to. A sweep is tried again after a pause; `accrue sweep` does so now.",
        )
    if retrying := counts.deliveries.get("retrying", 0):
        yield say.warning(
            f"{retrying} deliveries to webhooks have failed and will be tried again",
            "Look for webhook_tried in the log of the API: it says why.",
        )
    running = sum(count for (_, state), count in counts.jobs.items() if state == "running")
    waiting = sum(found.jobs for found in counts.waiting.values())
    yield say.ok(f"{running} running, {waiting} waiting for a worker")


def _workers(counts: FleetCounts) -> Iterator[Finding]:
    say = Say("workers")
    served = {queue for queue, _ in counts.workers}
    unserved = {queue_for(hardware) for hardware in counts.waiting} - served
    for queue in sorted(unserved):
        gpu = ", on a machine with a GPU" if queue == TRAIN_QUEUE else ""
        yield say.problem(
            f"Jobs wait in the queue {queue}, which no worker serves",
            f"Start a worker{gpu}: `accrue worker`.",
        )
    if counts.workers:
        alive = (f"{n} for {queue} on {device}" for (queue, device), n in counts.workers.items())
        yield say.ok(f"Alive: {', '.join(sorted(alive))}")
    elif not unserved:
        yield say.warning(
            "No worker was seen within a minute", "To run jobs, start it: `accrue worker`."
        )


def _stuck(say: Say, counts: FleetCounts) -> Iterator[Finding]:
    if counts.expired_leases:
        yield say.problem(
            f"Jobs that lost their worker and were not requeued: {counts.expired_leases}",
            "API and worker processes requeue them within seconds. Start one, or look for "
            "dispatcher_tick_failed in its log.",
        )
    if lost := counts.failures.get("worker-lost"):
        yield say.warning(
            f"Jobs that failed because they lost their worker again and again: {lost}",
            "Most likely they need more memory than a worker has. Give workers "
            "more, and retry them.",
        )
