"""Webhooks of jobs and their deliveries."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import Base, one_of

DELIVERY_STATES = ("pending", "delivered", "failed")


class JobWebhook(Base):
    """The webhook that a job notifies when it ends; a table of its own, as it holds a secret."""

    __tablename__ = "webhooks"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]


class WebhookDelivery(Base):
    """The notification of one end of a job. It holds all that is sent, so it outlives the job."""

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
    # Null once the delivery is settled.
    secret: Mapped[str | None]
    # The body as it is signed.
    payload: Mapped[str]
    state: Mapped[str] = mapped_column(String(16), default="pending")
    # The fencing token of a claim, as `attempt` is for a job.
    attempts: Mapped[int] = mapped_column(default=0)
    # When the delivery is due; while it is claimed, when the claim expires.
    next_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
