"""The metric families that are read from the database, with their names and descriptions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from app.db.repositories.fleet import FleetCounts, WaitingJobs
from app.db.tables import JOB_STATES
from app.services.queue.broker import DEFAULT_QUEUE, TRAIN_QUEUE, queue_for

_UP = ("accrue_database_up", "1 if the database was read, 0 if it is down or slow.")
# Always exported, also at 0: Prometheus sees no increase in a series that first appears at 1.
_KINDS = ("learn", "forget", "correct", "evaluate", "advise")
_FAILURES = ("worker-lost",)
_DELIVERIES = ("pending", "retrying", "failed", "delivered")


def away() -> Sequence[Metric]:
    """Return the families if the database does not answer: only that it is down, no old values."""
    return [GaugeMetricFamily(*_UP, value=0)]


def described(counts: FleetCounts, now: datetime, *, seconds: float) -> Sequence[Metric]:
    """Return the families of counts read at `now`; reading them took `seconds`."""
    waiting: dict[str, WaitingJobs | None] = dict.fromkeys((DEFAULT_QUEUE, TRAIN_QUEUE))
    waiting |= {queue_for(hardware): found for hardware, found in counts.waiting.items()}
    jobs = {(kind, state): 0 for kind in _KINDS for state in JOB_STATES} | dict(counts.jobs)
    failures = dict.fromkeys(_FAILURES, 0) | dict(counts.failures)
    deliveries = dict.fromkeys(_DELIVERIES, 0) | dict(counts.deliveries)
    due = [] if counts.sweep_due_at is None else [((), counts.sweep_due_at.timestamp())]
    return [
        GaugeMetricFamily(*_UP, value=1),
        _one("accrue_database_read_seconds", "Seconds that the read took.", seconds),
        _many("accrue_jobs", "Jobs.", ("kind", "state"), jobs.items()),
        _by_one(
            "accrue_waiting_jobs",
            "Jobs that a worker could take now: not those behind another of their classifier.",
            "queue",
            {queue: found.jobs if found else 0 for queue, found in waiting.items()},
        ),
        _by_one(
            "accrue_oldest_waiting_job_seconds",
            "Seconds since the oldest waiting job was queued; 0 without one.",
            "queue",
            {queue: _age(found, now) for queue, found in waiting.items()},
        ),
        _one(
            "accrue_expired_leases",
            "Running jobs whose worker has let its lease expire.",
            counts.expired_leases,
        ),
        _by_one("accrue_failed_jobs", "Failed jobs by the code of their error.", "code", failures),
        _many(
            "accrue_workers",
            "Workers seen within the last minute, for each queue that they serve.",
            ("queue", "device"),
            counts.workers.items(),
        ),
        _by_one(
            "accrue_webhook_deliveries",
            "Deliveries to webhooks; retrying ones have failed before.",
            "state",
            deliveries,
        ),
        _one("accrue_classifiers", "Classifiers.", counts.classifiers),
        _one("accrue_versions", "Versions.", counts.versions),
        _one("accrue_blobs", "Blobs that the database lists.", counts.blobs),
        _one("accrue_blob_bytes", "Bytes of these blobs.", counts.blob_bytes),
        _many(
            "accrue_sweep_due_timestamp_seconds",
            "When the next sweep is due: an hour after the last began. A failed one stays due.",
            (),
            due,
        ),
        _one(
            "accrue_undeleted_blobs",
            "Unneeded blobs that the last sweep could not delete.",
            counts.undeleted_blobs,
        ),
    ]


def _one(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)


def _by_one(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    return _many(name, what, (label,), (((key,), value) for key, value in values.items()))


def _many(
    name: str, what: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(name, what, labels=labels)
    for given, value in values:
        family.add_metric(given, value)
    return family


def _age(waiting: WaitingJobs | None, now: datetime) -> float:
    return 0.0 if waiting is None else max((now - waiting.since).total_seconds(), 0.0)
