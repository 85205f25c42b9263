"""Queries about checkpoints: the newest of each job, from which its next attempt continues."""

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from app.db.repositories import blobs as blob_rows
from app.db.tables import FINAL_STATES, Job, JobCheckpoint


def newest(session: Session, job_id: str) -> JobCheckpoint | None:
    """Return a job's checkpoint."""
    return session.get(JobCheckpoint, job_id, populate_existing=True)


def replace(session: Session, checkpoint: JobCheckpoint) -> list[str]:
    """Store a job's newest checkpoint; return the blob of the previous one if nothing needs it."""
    released = remove(session, checkpoint.job_id)
    session.add(checkpoint)
    session.flush()
    return blob_rows.unreferenced(session, released)


def remove(session: Session, job_id: str) -> list[str]:
    """Delete a job's checkpoint; return its blob, which may now be unreferenced."""
    return _delete(session, JobCheckpoint.job_id == job_id)


def remove_of_finished(session: Session, classifier_id: str) -> list[str]:
    """Delete the checkpoints of a classifier's ended jobs; return their blobs."""
    jobs = select(Job.id).where(Job.classifier_id == classifier_id, Job.state.in_(FINAL_STATES))
    return _delete(session, JobCheckpoint.job_id.in_(jobs))


def _delete(session: Session, where: ColumnElement[bool]) -> list[str]:
    return list(session.scalars(delete(JobCheckpoint).where(where).returning(JobCheckpoint.sha256)))
