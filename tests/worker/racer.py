"""A process that claims jobs as fast as it can. It starts fast: nothing here loads PyTorch."""

from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from app.db.engine import Database
from app.settings import Settings
from worker.lease import Lease


def race(
    settings: Settings, worker: str, job_ids: list[str], start: Barrier, won: "Queue[list[str]]"
) -> None:
    """Claim every job, from the moment all racers are there; report which ones were had."""
    db = Database(settings.database_url)
    start.wait()
    leases = [Lease.claim(db, settings, job_id, worker) for job_id in job_ids]
    won.put([lease.job_id for lease in leases if lease])
    db.close()
