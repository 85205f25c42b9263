"""Aliases: promote and roll back are one move of a name."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from app.db.engine import Database
from app.db.repositories import aliases as alias_rows, versions as version_rows
from app.errors import ServiceError
from app.services.classifiers import classifiers
from app.services.classifiers.references import LIVE
from app.services.classifiers.versions import VersionNotFoundError
from app.services.requests import RequestBody

AliasName = Annotated[
    str,
    # It begins with a letter, so that it is never taken for a version's number.
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]*$", max_length=64),
]


class AliasNotFoundError(ServiceError, status=404, code="alias-not-found"):
    """The classifier has no alias of that name."""


class StaleAliasError(ServiceError, status=409, code="stale-alias"):
    """The alias names another version than the one expected."""


class LiveAliasError(ServiceError, status=409, code="live-alias", title="The live alias stays"):
    """The alias `live` cannot be deleted, only moved."""


class AliasMove(RequestBody):
    """Where an alias goes."""

    version: int = Field(ge=1, lt=10**9)
    expected_version: int | None = Field(
        None,
        ge=1,
        lt=10**9,
        description="Move only if the alias names this version now; null: only if there is none.",
    )


class AliasView(BaseModel):
    """An alias as clients see it."""

    name: str
    version: int
    updated_at: datetime


def page(
    db: Database, workspace: str, classifier: str, *, limit: int, after: str | None
) -> list[AliasView]:
    """Return up to `limit` aliases by name. Raises ClassifierNotFoundError."""
    with db.reading() as session:
        owner = classifiers.require(session, workspace, classifier)
        return [
            AliasView(name=alias.name, version=number, updated_at=alias.updated_at)
            for alias, number in alias_rows.page(session, owner.id, limit=limit, after=after)
        ]


def move(db: Database, workspace: str, classifier: str, name: str, request: AliasMove) -> AliasView:
    """Make the alias name a version, new or not, at once for all who look.

    Raises ClassifierNotFoundError, VersionNotFoundError and StaleAliasError.
    """
    with db.transaction() as session:
        owner = classifiers.require(session, workspace, classifier, lock=True)
        version = version_rows.by_number(session, owner.id, request.version)
        if version is None:
            raise VersionNotFoundError("This classifier has no version of that number.")
        if "expected_version" in request.model_fields_set:
            named = version_rows.by_alias(session, owner.id, name)
            if (named.number if named else None) != request.expected_version:
                raise StaleAliasError(
                    f"The alias names version {named.number} now."
                    if named
                    else "The alias does not exist now."
                )
        alias = alias_rows.point(session, owner.id, name, version.id, now=db.now(session))
        return AliasView(name=name, version=version.number, updated_at=alias.updated_at)


def delete(db: Database, workspace: str, classifier: str, name: str) -> None:
    """Delete an alias.

    Raises ClassifierNotFoundError, AliasNotFoundError, and LiveAliasError for `live`.
    """
    if name == LIVE:
        raise LiveAliasError("The alias live can be moved, not deleted.")
    with db.transaction() as session:
        owner = classifiers.require(session, workspace, classifier, lock=True)
        alias = alias_rows.get(session, owner.id, name)
        if alias is None:
            raise AliasNotFoundError("This classifier has no alias of that name.")
        alias_rows.remove(session, alias)
