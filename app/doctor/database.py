"""Checks that the database answers, has the newest schema, is writable, and tells the time."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import false, text, update
from sqlalchemy.exc import SQLAlchemyError

import migrations
from app.db import copying
from app.db.engine import Database
from app.db.tables import Installation
from app.doctor.findings import CheckContext, Finding, Say
from app.doctor.opening import NoDatabaseError, opened, reason
from app.storage import names

_SKEW_SECONDS = 5.0


def check(context: CheckContext) -> Iterator[Finding]:
    """Check the database of the settings."""
    say = Say("database")
    try:
        with opened(context) as database:
            # First: SQLite says nothing more of a damaged file where a query meets the damage.
            if damaged := _damages(say, database):
                yield damaged
                return
            yield say.ok(_name(database))
            yield _schema(say, context.settings.database_url)
            yield _clock(say, database)
            with database.transaction() as session:
                session.execute(update(Installation).where(false()).values(id=Installation.id))
            yield say.ok("It can be written to")
    except NoDatabaseError as error:
        yield _no_file(say, context, error)
    except SQLAlchemyError as error:
        yield say.problem(
            f"It cannot be used: {reason(error)}",
            "Start it, or correct ACCRUE_DATABASE and ACCRUE_DATABASE_PASSWORD. If it has no "
            "tables, run `accrue migrate`.",
        )


def _name(database: Database) -> str:
    sqlite = database.engine.dialect.name == "sqlite"
    question = "SELECT sqlite_version()" if sqlite else "SHOW server_version"
    with database.reading() as session:
        version = session.scalar(text(question))
    return f"{'SQLite' if sqlite else 'PostgreSQL'} {version} answers"


def _no_file(say: Say, context: CheckContext, error: NoDatabaseError) -> Finding:
    url = context.settings.storage_url
    if "://" not in url and Path(url, names.DOCUMENTS).exists():
        return say.problem(
            f"{error} is gone, although the storage {url} belongs to a database",
            "Put it back, `accrue restore` a backup, or rebuild it with `accrue reindex`.",
        )
    return say.warning(f"{error} does not exist yet", "`accrue up` or `accrue migrate` makes it.")


def _damages(say: Say, database: Database) -> Finding | None:
    """Check the pages of a file of SQLite; PostgreSQL checks its own."""
    if database.engine.dialect.name != "sqlite":
        return None
    damages = copying.damages(Path(database.engine.url.database or ""))
    if not damages:
        return None
    return say.problem(
        f"Its file is damaged: {'; '.join(damages)}",
        "If ACCRUE_DATABASE is right, stop the service and `accrue restore` a backup, or move the "
        "file away and rebuild it with `accrue reindex`.",
    )


def _schema(say: Say, url: str) -> Finding:
    script = ScriptDirectory.from_config(migrations.config(url))
    head, current = script.get_current_head(), migrations.current(url)
    if current == head:
        return say.ok(f"Its schema is the newest, {head}")
    if current is None:
        return say.problem(
            "It is empty", "Run `accrue migrate`, or `accrue reindex` if the database was lost."
        )
    try:
        script.get_revision(current)
    except CommandError:
        return say.problem(
            f"Its schema {current} is newer than this software, which knows {head}",
            "Run the software that migrated it, or a newer one.",
        )
    return say.problem(f"Its schema is {current}, the newest is {head}", "Run `accrue migrate`.")


def _clock(say: Say, database: Database) -> Finding:
    before = datetime.now(UTC)
    with database.reading() as session:
        theirs = database.now(session)
    after = datetime.now(UTC)
    # How far the time of the database lies outside the interval in which it was read.
    skew = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    if skew > _SKEW_SECONDS:
        return say.warning(
            f"Its clock and this machine's differ by {skew:.0f} s",
            "Set both by NTP. Jobs follow the clock of the database, logs this machine's.",
        )
    return say.ok("Its clock agrees with this machine's")
