"""Queries about webhooks and their deliveries.

A delivery is claimed for one attempt by a conditional update, and `attempts` is the fencing token:
only the process that has the claim records the result, so two processes never send one delivery at
once. A claim expires unless it is settled.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.orm import Session

from app.db.tables import Job, JobWebhook, WebhookDelivery


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery to be attempted by the process that claimed it."""

    id: str
    job_id: str | None
    url: str
    payload: str
    attempt: int
    secret: str = field(repr=False)


def webhook_of(session: Session, job_id: str) -> JobWebhook | None:
    """Return the webhook that a job notifies when it ends."""
    return session.get(JobWebhook, job_id)


def of_job(session: Session, job_id: str) -> list[WebhookDelivery]:
    """Return a job's deliveries, oldest first."""
    query = select(WebhookDelivery).where(WebhookDelivery.job_id == job_id)
    return list(session.scalars(query.order_by(WebhookDelivery.id)))


def any_due(session: Session, *, now: datetime) -> bool:
    """Say whether a delivery is due."""
    return session.scalar(select(WebhookDelivery.id).where(_due(now)).limit(1)) is not None


def claim(
    session: Session, *, now: datetime, lasts: timedelta, limit: int
) -> list[ClaimedDelivery]:
    """Claim up to `limit` due deliveries, the longest due first.

    The claims expire after `lasts`: a delivery that is not settled is due again then.
    """
    query = select(WebhookDelivery.id, WebhookDelivery.attempts).where(_due(now))
    found = session.execute(query.order_by(WebhookDelivery.next_at).limit(limit))
    claimed = []
    for delivery_id, attempts in found.all():
        row = session.execute(
            update(WebhookDelivery)
            .where(_is_attempt(delivery_id, attempts), _due(now))
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
    """Record a failed attempt and when the next is due; False if the claim expired."""
    return _settle(session, claimed, {**result, "next_at": until})


def end(session: Session, claimed: ClaimedDelivery, result: dict[str, Any], *, state: str) -> bool:
    """Record the last attempt and delete the secret; False if the claim expired.

    The delivery of a deleted job is deleted too.
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
    """Delete the settled deliveries of a classifier's jobs; pending ones stay."""
    owned = select(Job.id).where(Job.classifier_id == classifier_id)
    session.execute(
        delete(WebhookDelivery).where(
            WebhookDelivery.job_id.in_(owned), WebhookDelivery.state != "pending"
        )
    )


def _due(now: datetime) -> ColumnElement[bool]:
    return and_(WebhookDelivery.state == "pending", WebhookDelivery.next_at <= now)


def _is_attempt(delivery_id: str, attempts: int) -> ColumnElement[bool]:
    return and_(WebhookDelivery.id == delivery_id, WebhookDelivery.attempts == attempts)


def _settle(session: Session, claimed: ClaimedDelivery, values: dict[str, Any]) -> bool:
    statement = (
        update(WebhookDelivery)
        .where(_is_attempt(claimed.id, claimed.attempt), WebhookDelivery.state == "pending")
        .values(values)
        .returning(WebhookDelivery.id)
    )
    return session.scalar(statement) is not None
