"""What the readers of zip and tar share: members, limits, names that lead outside."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.errors import ServiceError

_DRIVE = re.compile(r"[A-Za-z]:(/|$)")


class UnsafeArchiveError(ServiceError, status=422, code="unsafe-archive"):
    """The archive leads outside its folder, overlaps itself or inflates without measure."""


class UnreadableArchiveError(ServiceError, status=422, code="unreadable-archive"):
    """The archive is broken, or not of the kind it was sent as."""


class MemberError(Exception):
    """A member cannot be read while the rest of the archive can; says why."""


@dataclass(frozen=True)
class ArchiveLimits:
    """Bounds of one archive."""

    members: int
    member_bytes: int
    # Inflated bytes for each byte sent; photographs stay near 1, drawings in BMP reach some tens.
    ratio: int = 100
    # Inflated bytes that any archive may have, however small it is.
    free_bytes: int = 2 * 10**8


@dataclass(frozen=True)
class Member:
    """A file in an archive: its path, and what reads it.

    `read` is called before the next member is asked for, or not at all. It returns the bytes, or
    raises MemberError, or what the archive as a whole is refused with.
    """

    path: tuple[str, ...]
    read: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The path as one string."""
        return "/".join(self.path)


class Budget:
    """Counts the bytes really inflated."""

    def __init__(self, sent: int, limits: ArchiveLimits) -> None:
        self._left = limits.free_bytes + limits.ratio * sent

    def take(self, count: int) -> None:
        """Count bytes. Raises UnsafeArchiveError when there are too many."""
        self._left -= count
        if self._left < 0:
            raise UnsafeArchiveError("The archive inflates to far more than its own size.")


def safe_path(name: str) -> tuple[str, ...]:
    """Split a member's name. Raises UnsafeArchiveError if it could lead outside the archive."""
    path = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or _DRIVE.match(name):
        reason = "is absolute"
    elif ".." in path:
        reason = "leads out of the archive"
    elif "\\" in name:
        reason = "has a backslash"
    elif "\0" in name:
        reason = "has a NUL"
    else:
        return path
    raise UnsafeArchiveError(f"The name of member {name[:200]!r} {reason}.")


@contextmanager
def broken_is_unreadable() -> Iterator[None]:
    """Turn whatever a reader raises on a broken archive into UnreadableArchiveError."""
    try:
        yield
    except ServiceError:
        raise
    except Exception as error:  # the readers raise nearly anything
        raise UnreadableArchiveError(
            "The archive is broken, or not of the kind it was sent as."
        ) from error


def refuse(reason: str) -> Callable[[], bytes]:
    """Return a `Member.read` for what is not read."""

    def read() -> bytes:
        raise MemberError(reason)

    return read
