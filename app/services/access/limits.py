"""Rate limiting and quotas of keys: limits of a key's own, or those of the settings."""

import math
import time
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import workspaces as workspace_rows
from app.errors import ServiceError

# What `Retry-After` says where a quota is used up, in seconds. A rate limit computes its own.
_JOBS_RETRY_AFTER = "30"
_STORAGE_RETRY_AFTER = "3600"


class RateLimitedError(ServiceError, status=429, code="rate-limited"):
    """The key predicts more images a second than its rate limit allows."""


class TooManyJobsError(ServiceError, status=429, code="too-many-jobs"):
    """The workspace has as many waiting jobs as the key may have."""


class StorageQuotaError(ServiceError, status=429, code="storage-quota"):
    """The workspace stores as much as the key may store."""


QUOTA_ERRORS = (TooManyJobsError, StorageQuotaError)


@dataclass(frozen=True)
class Quota:
    """What a workspace may hold for a key to add to it; None means no limit."""

    waiting_jobs: int | None = None
    stored_bytes: int | None = None


NO_QUOTA = Quota()


def require_room(db: Database, workspace: str, quota: Quota) -> None:
    """Raise StorageQuotaError if the storage quota is used up: call before reading a body."""
    if quota.stored_bytes is None:
        return
    with db.reading() as session:
        used = workspace_rows.stored_bytes(session, workspace)
    if used >= quota.stored_bytes:
        raise _full(quota.stored_bytes, used)


def check_stored(session: Session, workspace: str, quota: Quota) -> None:
    """Raise StorageQuotaError if this transaction has exceeded the storage quota.

    Call it at the end: other transactions of the workspace with a quota wait until this one ends.
    """
    if quota.stored_bytes is None:
        return
    session.flush()
    workspace_rows.lock_quota(session, workspace)
    used = workspace_rows.stored_bytes(session, workspace)
    if used > quota.stored_bytes:
        raise _full(quota.stored_bytes, used)


def check_new_job(session: Session, workspace: str, quota: Quota) -> None:
    """Raise TooManyJobsError or StorageQuotaError if no further job may be queued.

    Call it with the locks of all other rows taken: see `check_stored`.
    """
    if quota.waiting_jobs is not None:
        workspace_rows.lock_quota(session, workspace)
        waiting = workspace_rows.waiting_jobs(session, workspace)
        if waiting >= quota.waiting_jobs:
            raise TooManyJobsError(
                f"{waiting} jobs of this workspace wait, and this key allows {quota.waiting_jobs}. "
                "Wait until some have started, or cancel some.",
                headers={"Retry-After": _JOBS_RETRY_AFTER},
            )
    check_stored(session, workspace, quota)  # the version that the job makes adds to it


def _full(limit: int, used: int) -> StorageQuotaError:
    return StorageQuotaError(
        f"This needs {used / 1e6:.1f} megabytes in the workspace, and this key allows "
        f"{limit / 1e6:.1f}. Delete uploads or versions.",
        headers={"Retry-After": _STORAGE_RETRY_AFTER},
    )


class TokenBucket:
    """Token bucket: rate limiting of one key. It holds the images of one second.

    Images are counted after they have been read, so one request may overdraw the bucket; the next
    requests are refused until it has filled up again.
    """

    def __init__(self, images_per_second: float) -> None:
        self.per_second = images_per_second
        self._tokens = max(1.0, images_per_second)
        self._filled_at = time.monotonic()
        # What was spent here and the other processes behind the port do not know yet.
        self._untold = 0

    def require(self) -> None:
        """Raise RateLimitedError if the bucket is empty: call before reading a body."""
        if seconds := self.seconds_to_wait:
            raise RateLimitedError(
                f"This key may predict {self.per_second:g} images a second. Try again later.",
                headers={"Retry-After": str(seconds), **self.headers},
            )

    @property
    def remaining(self) -> int:
        """How many images are left; a request of more is let in nevertheless."""
        return max(0, math.floor(self._filled(time.monotonic())))

    @property
    def seconds_to_wait(self) -> int:
        """For how many seconds requests are refused; 0 where they are let in."""
        tokens = self._filled(time.monotonic())
        return 0 if tokens > 0 else math.ceil(-tokens / self.per_second) or 1

    @property
    def headers(self) -> dict[str, str]:
        """The headers that tell a client of it, in images, and in seconds until it is full."""
        full = max(1.0, self.per_second)
        missing = full - self._filled(time.monotonic())
        return {
            "RateLimit-Limit": str(math.floor(full)),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(math.ceil(missing / self.per_second)),
        }

    def spend(self, images: int) -> None:
        """Take the tokens of a request's images."""
        self.spent_elsewhere(images)
        self._untold += images

    def spent_elsewhere(self, images: int) -> None:
        """Take the tokens of images that another process has predicted."""
        now = time.monotonic()
        self._tokens, self._filled_at = self._filled(now) - images, now

    def take_untold(self) -> int:
        """Return how many images were spent here since the last call."""
        images, self._untold = self._untold, 0
        return images

    def _filled(self, now: float) -> float:
        filled = self._tokens + (now - self._filled_at) * self.per_second
        return min(filled, max(1.0, self.per_second))
