"""Checks whether the storage has what the database needs; with `deep`, whether it is intact."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.doctor.findings import CheckContext, Finding, Say
from app.doctor.opening import NoDatabaseError, opened
from app.services.upkeep import integrity
from app.storage import open_store

_SHOWN = 10
_HELP = (
    "Restore the storage from a backup (`accrue restore`). Without one, promote another version, "
    "or send the images again."
)


def check(context: CheckContext) -> Iterator[Finding]:
    """Look for the tensors of versions that aliases name; with `deep`, read every blob."""
    say, url = Say("content"), context.settings.storage_url
    try:
        with opened(context) as database:
            if "://" not in url and not Path(url).exists():
                yield say.skipped("The storage does not exist yet")
                return
            store = open_store(url)
            if not context.deep:
                lost = integrity.missing_from_aliased(database, store)
                yield from _said(say, database, "are missing in the storage", lost)
                if not lost:
                    yield say.ok("The storage has the tensors of every version that an alias names")
                return
            found = integrity.check(database, store)
            yield from _said(say, database, "are missing in the storage", found.missing)
            yield from _said(say, database, "are damaged in the storage", found.damaged)
            if not found.missing and not found.damaged:
                yield say.ok(f"All {found.checked} images and tensors are there, with their hashes")
    except (NoDatabaseError, SQLAlchemyError):
        yield say.skipped("What is needed is not known without the database")
    except OSError as error:
        yield say.skipped(f"The storage cannot be read: {error.strerror or error}")


def _said(say: Say, database: Database, how: str, lost: Sequence[str]) -> Iterator[Finding]:
    if not lost:
        return
    users = integrity.users(database, list(lost))
    more = f", and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
    blobs = ", ".join(sha256[:12] for sha256 in lost[:_SHOWN])
    yield say.problem(
        f"{len(lost)} blobs {how}. They are needed by {'; '.join(users[:_SHOWN])}{more} "
        f"(blobs {blobs}{', …' if len(lost) > _SHOWN else ''})",
        _HELP,
    )
