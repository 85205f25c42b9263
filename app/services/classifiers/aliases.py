"""Aliases: a promotion and a rollback both move an alias to a version."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.db.engine import Database
from app.db.repositories import aliases as alias_rows, versions as version_rows
from app.errors import ServiceError
from app.services.classifiers import classifiers
from app.services.classifiers.references import LIVE, Number, NumberOrAlias
from app.services.classifiers.versions import require
from app.services.requests import RequestBody


class AliasNotFoundError(ServiceError, status=404, code="alias-not-found"):
    """The classifier has no alias of that name."""


class StaleAliasError(ServiceError, status=409, code="stale-alias"):
    """The alias does not name the version that the client expected (optimistic locking)."""


class LiveAliasError(ServiceError, status=409, code="live-alias", title="The live alias stays"):
    """The alias `live` can be moved, but not deleted."""


class AliasMove(RequestBody):
    """The version that an alias is to name."""

    version: NumberOrAlias = Field(description="Its number, or another alias that names it now.")
    expected_version: Number | None = Field(
        None,
        description="Only if the alias names it now; null: only if there is no alias.",
    )


class AliasView(BaseModel):
    """An alias as clients see it."""

    name: str
    version: int
    updated_at: datetime


def page(
    db: Database, workspace: str, classifier: str, *, limit: int, after: str | None
) -> list[AliasView]:
    """Return up to `limit` aliases by name, those after `after`. Raises ClassifierNotFoundError."""
    with db.reading() as session:
        owner = classifiers.require(session, workspace, classifier)
        return [
            AliasView(name=alias.name, version=number, updated_at=alias.updated_at)
            for alias, number in alias_rows.page(session, owner.id, limit=limit, after=after)
        ]


def get(db: Database, workspace: str, classifier: str, name: str) -> AliasView:
    """Return one alias. Raises ClassifierNotFoundError and AliasNotFoundError."""
    with db.reading() as session:
        owner = classifiers.require(session, workspace, classifier)
        alias = alias_rows.get(session, owner.id, name)
        version = version_rows.by_alias(session, owner.id, name)
        if alias is None or version is None:
            raise _not_found()
        return AliasView(name=name, version=version.number, updated_at=alias.updated_at)


def move(db: Database, workspace: str, classifier: str, name: str, request: AliasMove) -> AliasView:
    """Make a new or existing alias name a version; it is visible to all at the commit.

    Raises ClassifierNotFoundError, VersionNotFoundError and StaleAliasError.
    """
    with db.transaction() as session:
        owner = classifiers.require(session, workspace, classifier, for_update=True)
        version = require(session, owner, str(request.version))
        if "expected_version" in request.model_fields_set:
            current = version_rows.by_alias(session, owner.id, name)
            number = current.number if current else None
            if number != request.expected_version:
                state = f"names version {number}" if number else "does not exist"
                raise StaleAliasError(
                    f"The alias {state} now. To move it, send expected_version {number or 'null'}."
                )
        alias = alias_rows.point(session, owner.id, name, version.id, now=db.now(session))
        return AliasView(name=name, version=version.number, updated_at=alias.updated_at)


def delete(db: Database, workspace: str, classifier: str, name: str) -> None:
    """Delete an alias.

    Raises ClassifierNotFoundError, AliasNotFoundError, and LiveAliasError for `live`.
    """
    if name == LIVE:
        raise LiveAliasError("The alias live can be moved to another version, but not deleted.")
    with db.transaction() as session:
        owner = classifiers.require(session, workspace, classifier, for_update=True)
        alias = alias_rows.get(session, owner.id, name)
        if alias is None:
            raise _not_found()
        alias_rows.remove(session, alias)


def _not_found() -> AliasNotFoundError:
    return AliasNotFoundError("This classifier has no alias of that name.")
