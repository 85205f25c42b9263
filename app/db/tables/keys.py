"""API keys: who may do what, in which workspace."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import DEFAULT_WORKSPACE, Base

_NOT_REVOKED = text("revoked_at IS NULL")


class ApiKey(Base):
    """An API key. Only its hash is stored."""

    __tablename__ = "api_keys"
    __table_args__ = (
        # Keys that are not revoked have unique names.
        Index(
            "uq_api_keys_name",
            "name",
            unique=True,
            sqlite_where=_NOT_REVOKED,
            postgresql_where=_NOT_REVOKED,
        ),
    )

    # Part of the key itself, but not secret.
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    workspace: Mapped[str] = mapped_column(String(64), default=DEFAULT_WORKSPACE)
    # SHA-256 of the whole key.
    digest: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[Any]]
    # Limits of this key; null means the limit of the settings.
    images_per_second: Mapped[float | None]
    waiting_jobs: Mapped[int | None]
    stored_megabytes: Mapped[int | None]
    created_at: Mapped[datetime]
    # The key that made it over HTTP; null means a command on the service's machine.
    created_by: Mapped[str | None] = mapped_column(String(64))
    expires_at: Mapped[datetime | None]
    # Updated from time to time, not at every request.
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
