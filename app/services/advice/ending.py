"""How a finished job gives its advice: one transaction, or nothing."""

from dataclasses import dataclass

from app.db.engine import Database
from app.db.repositories import jobs as job_rows, leases as lease_rows
from app.db.repositories.events import Event
from app.services.jobs import endings
from app.services.jobs.advice_view import AdviceView


@dataclass(frozen=True)
class Advised:
    """What the training process found out."""

    advice: AdviceView


def succeed(db: Database, job_id: str, attempt: int, advised: Advised) -> bool:
    """Record the advice and end the job as succeeded.

    False, with nothing written, where the attempt no longer holds the job or the job is being
    cancelled.
    """
    with db.transaction() as session:
        now = db.now(session)
        if not lease_rows.finish(session, job_id, attempt, "succeeded", now=now):
            return False
        advice = advised.advice
        job_rows.record_report(session, job_id, advice.model_dump(mode="json"))
        recommended = advice.recommendation
        said = "Nothing can be recommended." if recommended is None else recommended.why
        endings.announce(session, job_id, [Event("succeeded", said)], now=now)
        return True
