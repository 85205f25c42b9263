"""Tells a damaged database, which only a backup mends, from other errors of it."""

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DatabaseError

_SQLITE = {11, 26}  # SQLITE_CORRUPT, SQLITE_NOTADB
_POSTGRES = {"XX001", "XX002"}  # data_corrupted, index_corrupted


class DamageMetError(DatabaseError):
    """A statement has met damage: bytes of the database are not what was written."""


def name_damage(engine: Engine) -> None:
    """Have the engine raise DamageMetError where a statement meets damage."""

    @event.listens_for(engine, "handle_error")
    def replace(context: ExceptionContext) -> BaseException | None:
        error = context.original_exception
        # The lowest byte is the kind, the others what kind of it.
        sqlite = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if sqlite in _SQLITE or getattr(error, "sqlstate", None) in _POSTGRES:
            return DamageMetError(context.statement, None, error, hide_parameters=True)
        return None
