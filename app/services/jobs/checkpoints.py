"""Checkpoints of jobs: each job has at most one, its newest.

It is deleted when its job succeeds, or fails in a way that a retry cannot help. If the job was
cancelled or can be retried, the checkpoint stays until another job of the classifier publishes a
version, from which a retry would start instead, or until an upload of the job is deleted.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import checkpoints as checkpoint_rows, leases as lease_rows
from app.db.tables import JobCheckpoint
from app.services import stored
from app.storage import BlobStore


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint whose bytes are in the store: `size` bytes under `sha256`.

    `fingerprint` identifies the training. It resumes at optimizer step `step` of epoch `epoch` of
    training phase `phase`, each from 0. It was made on `device` with `threads` threads, when the
    job's progress was `progress`.
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
    """Return the checkpoint from which the next attempt of a job may continue."""
    row = checkpoint_rows.newest(session, job_id)
    if row is None:
        return None
    fields = SavedCheckpoint.__dataclass_fields__
    return SavedCheckpoint(**{name: getattr(row, name) for name in fields})


def record(
    db: Database, store: BlobStore, job_id: str, attempt: int, saved: SavedCheckpoint
) -> list[str]:
    """Make `saved` the job's newest checkpoint; return the blobs that nothing needs any more.

    Write nothing where the attempt no longer holds the job. Raises StorageChangedError.
    """
    with db.transaction() as session:
        now = db.now(session)
        # Checks the fencing token, and is a heartbeat.
        if lease_rows.heartbeat(session, job_id, attempt, now=now, lease=None, values={}) is None:
            return []
        stored.record(session, store, {saved.sha256: saved.size}, now)
        row = JobCheckpoint(job_id=job_id, attempt=attempt, created_at=now, **vars(saved))
        return checkpoint_rows.replace(session, row)
