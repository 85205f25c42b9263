"""Which plan a kind of job has."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from app.db.tables import Job
from app.services.steps import forgetting, learning
from app.services.steps.plans import Plan

_BY_KIND: dict[str, Callable[[Session, Job], Plan]] = {
    "learn": learning.plan,
    "forget": forgetting.plan,
}


def plan(session: Session, job: Job) -> Plan:
    """Decide what a claimed job does. Raises ServiceError where it cannot be done."""
    return _BY_KIND[job.kind](session, job)
