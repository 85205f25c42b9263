"""What a key may use of the service: limits of its own, or those of the settings."""

import math
import time
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import workspaces as workspace_rows
from app.errors import ServiceError

# How long a client that has too much stored, or waiting, does well to wait, in seconds. A rate says
# it to the second.
_JOBS_RETRY_AFTER = "30"
_STORAGE_RETRY_AFTER = "3600"


class RateLimitedError(ServiceError, status=429, code="rate-limited"):
    """The key predicts more images a second than it may."""


class TooManyJobsError(ServiceError, status=429, code="too-many-jobs"):
    """As many jobs wait in the workspace as the key may have wait."""


class StorageQuotaError(ServiceError, status=429, code="storage-quota"):
    """The workspace stores as much as the key may have it store."""


QUOTA_ERRORS = (TooManyJobsError, StorageQuotaError)


@dataclass(frozen=True)
class Quota:
    """What the workspace may hold when a key adds to it; None is without limit."""

    waiting_jobs: int | None = None
    stored_bytes: int | None = None


NO_QUOTA = Quota()


def require_room(db: Database, workspace: str, quota: Quota) -> None:
    """Raise StorageQuotaError where nothing more fits, before a body is read for nothing."""
    if quota.stored_bytes is None:
        return
    with db.reading() as session:
        used = workspace_rows.stored_bytes(session, workspace)
    if used >= quota.stored_bytes:
        raise _full(quota.stored_bytes, used)


def check_stored(session: Session, workspace: str, quota: Quota) -> None:
    """Raise StorageQuotaError where what this transaction has written is more than may be."""
    if quota.stored_bytes is None:
        return
    session.flush()
    used = workspace_rows.stored_bytes(session, workspace)
    if used > quota.stored_bytes:
        raise _full(quota.stored_bytes, used)


def check_waiting(session: Session, workspace: str, quota: Quota) -> None:
    """Raise TooManyJobsError where no further job may wait. Ask before it is written."""
    if quota.waiting_jobs is None:
        return
    waiting = workspace_rows.waiting_jobs(session, workspace)
    if waiting >= quota.waiting_jobs:
        raise TooManyJobsError(
            f"{waiting} jobs of this workspace wait, and this key may have {quota.waiting_jobs}.",
            headers={"Retry-After": _JOBS_RETRY_AFTER},
        )


def check_new_job(session: Session, workspace: str, quota: Quota) -> None:
    """Raise TooManyJobsError or StorageQuotaError where no further job may be queued."""
    check_waiting(session, workspace, quota)
    check_stored(session, workspace, quota)  # a job's version will add to it


def _full(limit: int, used: int) -> StorageQuotaError:
    return StorageQuotaError(
        f"This needs {used / 1e6:.1f} megabytes in the workspace, and this key may fill "
        f"{limit / 1e6:.1f}: delete uploads or versions.",
        headers={"Retry-After": _STORAGE_RETRY_AFTER},
    )


class Rate:
    """A token bucket that holds one second's worth of images, in one process.

    Images are counted once they are read, so a request may overdraw it; the next one then waits.
    """

    def __init__(self, images_per_second: float) -> None:
        self._per_second = images_per_second
        self._held = max(1.0, images_per_second)
        self._at = time.monotonic()

    def require(self) -> None:
        """Raise RateLimitedError where the bucket is empty. Ask before a body is read."""
        now = time.monotonic()
        filled = self._held + (now - self._at) * self._per_second
        self._held, self._at = min(filled, max(1.0, self._per_second)), now
        if self._held <= 0:
            seconds = math.ceil(-self._held / self._per_second) or 1
            raise RateLimitedError(
                f"This key predicts at most {self._per_second:g} images a second.",
                headers={"Retry-After": str(seconds)},
            )

    def spend(self, images: int) -> None:
        """Take what a request has cost."""
        self._held -= images
