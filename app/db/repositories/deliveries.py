"""Queries about webhooks and what is delivered to them.

A try is claimed by one conditional update, and only who claimed it writes what came of it: two
processes never send the same delivery at once. A claim that nobody settles runs out.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from app.db.tables import Job, JobWebhook, WebhookDelivery


@dataclass(frozen=True)
class ClaimedDelivery:
    """A try to make."""

    id: str
    job_id: str | None
    url: str
    payload: str
    attempt: int
    secret: str = field(repr=False)


def webhook_of(session: Session, job_id: str) -> JobWebhook | None:
    """Return whom a job tells that it has ended."""
    return session.get(JobWebhook, job_id)


def of_job(session: Session, job_id: str) -> list[WebhookDelivery]:
    """Return a job's deliveries, oldest first."""
    query = select(WebhookDelivery).where(WebhookDelivery.job_id == job_id)
    return list(session.scalars(query.order_by(WebhookDelivery.id)))


def any_due(session: Session, *, now: datetime) -> bool:
    """Say whether a delivery is to be tried."""
    return session.scalar(select(WebhookDelivery.id).where(_due(now)).limit(1)) is not None


def claim(
    session: Session, *, now: datetime, lasts: timedelta, limit: int
) -> list[ClaimedDelivery]:
    """Take up to `limit` deliveries that are due, longest due first.

    They are due again after `lasts`, unless settled before.
    """
    query = select(WebhookDelivery.id, WebhookDelivery.attempts).where(_due(now))
    found = session.execute(query.order_by(WebhookDelivery.next_at).limit(limit))
    claimed = []
    for delivery_id, attempts in found.all():
        row = session.execute(
            update(WebhookDelivery)
            .where(_tried(delivery_id, attempts), _due(now))
            .values(attempts=attempts + 1, next_at=now + lasts)
            .returning(
                WebhookDelivery.id,
                WebhookDelivery.job_id,
                WebhookDelivery.url,
                WebhookDelivery.payload,
                WebhookDelivery.attempts,
                WebhookDelivery.secret,
            )
        ).one_or_none()
        if row is not None:
            claimed.append(
                ClaimedDelivery(row.id, row.job_id, row.url, row.payload, row.attempts, row.secret)
            )
    return claimed


def postpone(
    session: Session, claimed: ClaimedDelivery, result: dict[str, Any], *, until: datetime
) -> bool:
    """Write down a try in vain and when the next is due; False if the claim ran out."""
    return _settle(session, claimed, {**result, "next_at": until})


def end(session: Session, claimed: ClaimedDelivery, result: dict[str, Any], *, state: str) -> bool:
    """Write down the last try, and forget the secret; False if the claim ran out.

    The delivery of a job that is gone goes as well.
    """
    values = {**result, "state": state, "next_at": None, "secret": None}
    if not _settle(session, claimed, values):
        return False
    session.execute(
        delete(WebhookDelivery).where(
            WebhookDelivery.id == claimed.id, WebhookDelivery.job_id.is_(None)
        )
    )
    return True


def delete_settled(session: Session, classifier_id: str) -> None:
    """Delete what is settled of a classifier's jobs; what is still to be sent stays."""
    owned = select(Job.id).where(Job.classifier_id == classifier_id)
    session.execute(
        delete(WebhookDelivery).where(
            WebhookDelivery.job_id.in_(owned), WebhookDelivery.state != "pending"
        )
    )


def _due(now: datetime) -> ColumnElement[bool]:
    return and_(WebhookDelivery.state == "pending", WebhookDelivery.next_at <= now)


def _tried(delivery_id: str, attempts: int) -> ColumnElement[bool]:
    return and_(WebhookDelivery.id == delivery_id, WebhookDelivery.attempts == attempts)


def _settle(session: Session, claimed: ClaimedDelivery, values: dict[str, Any]) -> bool:
    statement = (
        update(WebhookDelivery)
        .where(_tried(claimed.id, claimed.attempt), WebhookDelivery.state == "pending")
        .values(values)
        .returning(WebhookDelivery.id)
    )
    return session.scalar(statement) is not None
