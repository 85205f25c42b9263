"""``/v1/classifiers/{name}/aliases``: promote and roll back."""

from fastapi import Response

from app.api.access import Router, needs
from app.api.deps import DB, Processes, Workspace
from app.api.paging import DEFAULT_LIMIT, After, Limit, Page
from app.api.problems import responses
from app.services.classifiers import aliases
from app.services.classifiers.aliases import (
    AliasMove,
    AliasNotFoundError,
    AliasView,
    LiveAliasError,
    StaleAliasError,
)
from app.services.classifiers.classifiers import ClassifierNotFoundError
from app.services.classifiers.references import AliasName
from app.services.classifiers.versions import VersionNotFoundError

router = Router(
    prefix="/v1/classifiers/{name}/aliases",
    tags=["versions"],
    dependencies=[needs("predict", "train")],
)


@router.get("", responses=responses(ClassifierNotFoundError))
def list_aliases(
    name: str, db: DB, workspace: Workspace, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[AliasView]:
    """List a classifier's aliases by name."""
    found = aliases.page(db, workspace, name, limit=limit + 1, after=after)
    return Page.of(found, limit, lambda view: view.name)


@router.get("/{alias}", responses=responses(ClassifierNotFoundError, AliasNotFoundError))
def get_alias(name: str, alias: AliasName, db: DB, workspace: Workspace) -> AliasView:
    """Return one alias."""
    return aliases.get(db, workspace, name, alias)


@router.put(
    "/{alias}",
    dependencies=[needs("admin")],
    responses=responses(ClassifierNotFoundError, VersionNotFoundError, StaleAliasError),
)
def move_alias(
    name: str,
    alias: AliasName,
    body: AliasMove,
    db: DB,
    workspace: Workspace,
    together: Processes,
) -> AliasView:
    """Promote a version or roll back: make the alias name it."""
    view = aliases.move(db, workspace, name, alias, body)
    together.swap()
    return view


@router.delete(
    "/{alias}",
    status_code=204,
    dependencies=[needs("admin")],
    response_class=Response,
    responses=responses(ClassifierNotFoundError, AliasNotFoundError, LiveAliasError),
)
def delete_alias(
    name: str, alias: AliasName, db: DB, workspace: Workspace, together: Processes
) -> None:
    """Delete an alias; its version stays."""
    aliases.delete(db, workspace, name, alias)
    together.swap()
