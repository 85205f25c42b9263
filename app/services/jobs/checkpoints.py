"""Checkpoints of jobs: each job has at most one, its newest.

It goes when its job succeeds or fails for good. One of a job that was cancelled, or failed so that
`retry` may help, is kept for that, until another job of the classifier publishes a version (what is
retried then starts from that one) or an upload that the job learns from is deleted.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import checkpoints as checkpoint_rows, jobs as job_rows
from app.db.tables import Checkpoint
from app.services import stored
from app.storage import BlobStore


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint whose bytes are in the store: `size` bytes under `sha256`.

    It is of a training told from others by `fingerprint`, before step `step` of epoch `epoch` of
    phase `phase` (each from 0), made on a `device` by so many `threads`; `progress` is what its job
    said then.
    """

    sha256: str
    size: int
    fingerprint: str
    phase: int
    epoch: int
    step: int
    device: str
    threads: int
    progress: dict[str, Any]


def newest(session: Session, job_id: str) -> SavedCheckpoint | None:
    """Return what the next attempt of a job may go on from."""
    row = checkpoint_rows.newest(session, job_id)
    if row is None:
        return None
    fields = SavedCheckpoint.__dataclass_fields__
    return SavedCheckpoint(**{name: getattr(row, name) for name in fields})


def record(
    db: Database, store: BlobStore, job_id: str, attempt: int, saved: SavedCheckpoint
) -> list[str]:
    """Make it the job's newest checkpoint; return the blobs that nothing needs now.

    Nothing is written where the attempt no longer holds the job. Raises StorageChangedError.
    """
    with db.transaction() as session:
        now = db.now(session)
        # A heartbeat under the fence.
        if job_rows.heartbeat(session, job_id, attempt, now=now, lease=None, values={}) is None:
            return []
        stored.record(session, store, {saved.sha256: saved.size}, now)
        row = Checkpoint(job_id=job_id, attempt=attempt, created_at=now, **vars(saved))
        return checkpoint_rows.replace(session, row)
