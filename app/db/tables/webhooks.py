"""Whom jobs tell of their end, and what they were told."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import Base, one_of

DELIVERY_STATES = ("pending", "delivered", "failed")


class JobWebhook(Base):
    """Whom a job tells that it has ended. Apart from the job, so that few see the secret."""

    __tablename__ = "webhooks"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]


class WebhookDelivery(Base):
    """What one end of a job has to tell. It outlives the job: it holds all that is sent."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint(one_of("state", DELIVERY_STATES), name="state"),
        Index("ix_webhook_deliveries_state_next", "state", "next_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str | None] = mapped_column(
        ForeignKey("jobs.id", ondelete="SET NULL"), index=True
    )
    type: Mapped[str] = mapped_column(String(32))
    url: Mapped[str]
    # Null once nothing will be sent any more.
    secret: Mapped[str | None]
    # The body, as it is signed.
    payload: Mapped[str]
    state: Mapped[str] = mapped_column(String(16), default="pending")
    # The fencing token of a try, as a job's attempt is.
    attempts: Mapped[int] = mapped_column(default=0)
    # When it is due; while a try is made, when that one is given up as lost.
    next_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
