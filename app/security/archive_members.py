"""What the readers of zip and tar share: members, and guards against zip slip and zip bombs."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.errors import ServiceError

_DRIVE = re.compile(r"[A-Za-z]:(/|$)")

JOINED = "Something follows the end of the archive, such as another one. Send each archive alone."


class UnsafeArchiveError(ServiceError, status=422, code="unsafe-archive"):
    """The archive has names that lead outside it (zip slip), or is a zip bomb."""


class UnreadableArchiveError(ServiceError, status=422, code="unreadable-archive"):
    """The archive is damaged, or not of the kind that the content type names."""


class MemberError(Exception):
    """One member cannot be read, but the rest of the archive can; says why."""


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits of one archive. Sizes are in bytes."""

    members: int
    member_bytes: int
    # Inflated bytes for each byte sent. Photographs stay near 1; drawings as BMP reach some tens.
    ratio: int = 100
    # Inflated bytes that every archive may have, however small it is.
    free_bytes: int = 2 * 10**8


@dataclass(frozen=True)
class ArchiveMember:
    """A file in an archive: its path, and a function that reads its bytes.

    Call `read` before taking the next member, or not at all. It raises MemberError, and the errors
    that refuse the whole archive.
    """

    path: tuple[str, ...]
    read: Callable[[], bytes]
    # Whether the encoding of its name is a guess.
    guessed: bool = False

    @property
    def name(self) -> str:
        """The path as one string; bytes that are not UTF-8 appear as ``\\xe9``."""
        name = "/".join(self.path)
        return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


class InflationBudget:
    """Guard against zip bombs: bounds the inflated bytes of an archive of `sent` bytes.

    It counts what is really read, since the sizes that an archive declares may be false.
    """

    def __init__(self, sent: int, limits: ArchiveLimits) -> None:
        self._left = limits.free_bytes + limits.ratio * sent

    def take(self, count: int) -> None:
        """Count inflated bytes. Raises UnsafeArchiveError if they exceed the budget."""
        self._left -= count
        if self._left < 0:
            raise UnsafeArchiveError("The archive inflates to far more than its own size.")


def safe_path(name: str) -> tuple[str, ...]:
    """Split a member's name into its path, and guard against path traversal (zip slip).

    Backslashes separate as well, as in archives that Windows tools make. Raises UnsafeArchiveError
    if the name could lead outside the archive.
    """
    slashed = name.replace("\\", "/")
    path = split_path(slashed)
    if slashed.startswith("/") or _DRIVE.match(slashed):
        reason = "is absolute"
    elif ".." in path:
        reason = "leads out of the archive"
    elif "\0" in name:
        reason = "has a NUL"
    else:
        return path
    raise UnsafeArchiveError(f"The name of member {name[:200]!r} {reason}.")


def split_path(name: str) -> tuple[str, ...]:
    """Split a name at its slashes, without empty parts and dots."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


@contextmanager
def unreadable_if_damaged() -> Iterator[None]:
    """Turn any error of a reader of archives into UnreadableArchiveError."""
    try:
        yield
    except ServiceError:
        raise
    except Exception as error:  # the readers raise nearly any error
        raise UnreadableArchiveError(
            "The archive is damaged, cut off or not of the kind that the content type names. "
            "Pack it again."
        ) from error


def refuse(reason: str) -> Callable[[], bytes]:
    """Return an `ArchiveMember.read` for a member that is refused."""

    def read() -> bytes:
        raise MemberError(reason)

    return read
