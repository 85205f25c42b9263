"""``/v1/classifiers``."""

from typing import Annotated

from fastapi import Query, Response

from app.api.access import Router, needs
from app.api.answer_headers import with_headers
from app.api.deps import DB, Caller, Processes, Workspace
from app.api.idempotency import Idempotency
from app.api.paging import DEFAULT_LIMIT, After, Limit, Page
from app.api.problems import responses
from app.services.access.idempotency import IDEMPOTENCY_ERRORS
from app.services.classifiers import choices, classifiers
from app.services.classifiers.classifiers import (
    ClassifierExistsError,
    ClassifierInUseError,
    ClassifierNotFoundError,
    ClassifierPatch,
    ClassifierView,
    ConfirmationRequiredError,
    InvalidOptionsError,
)
from app.services.classifiers.spec import NewClassifier

router = Router(
    prefix="/v1/classifiers", tags=["classifiers"], dependencies=[needs("predict", "train")]
)

# They decide which versions are served, under which name, deleted and kept in the memory that all
# classifiers share, so they need the scope admin.
_ADMIN_FIELDS = frozenset({"name", "pinned", "promotion", "retention"})


@router.post(
    "",
    status_code=201,
    dependencies=[needs("train")],
    responses=with_headers(
        responses(ClassifierExistsError, InvalidOptionsError, *IDEMPOTENCY_ERRORS), 201, "Location"
    ),
)
def create_classifier(
    body: NewClassifier, response: Response, db: DB, workspace: Workspace, once: Idempotency
) -> ClassifierView:
    """Create a classifier. Only its name is needed."""
    location = {"Location": f"/v1/classifiers/{body.name}"}
    response.headers.update(location)
    return classifiers.create(
        db,
        workspace,
        choices.completed(body),
        on_created=lambda session, view: once.store_answer(session, 201, view, location),
    )


@router.get("", responses=responses())
def list_classifiers(
    db: DB,
    workspace: Workspace,
    prefix: Annotated[str, Query(max_length=100)] = "",
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[ClassifierView]:
    """List classifiers by name."""
    found = classifiers.page(db, workspace, prefix=prefix, limit=limit + 1, after=after)
    return Page.of(found, limit, lambda view: view.name)


@router.get("/{name}", responses=responses(ClassifierNotFoundError))
def get_classifier(name: str, db: DB, workspace: Workspace) -> ClassifierView:
    """Return one classifier."""
    return classifiers.get(db, workspace, name)


@router.patch(
    "/{name}",
    dependencies=[needs("train")],
    responses=responses(ClassifierNotFoundError, ClassifierExistsError, InvalidOptionsError),
)
def change_classifier(
    name: str,
    body: ClassifierPatch,
    db: DB,
    workspace: Workspace,
    caller: Caller,
    together: Processes,
) -> ClassifierView:
    """Change a classifier for the jobs that start afterwards.

    `name`, `pinned`, `promotion` and `retention` need the scope admin.
    """
    if body.model_fields_set & _ADMIN_FIELDS:
        caller.require("admin")
    view = classifiers.change(db, workspace, name, body)
    if view.name != name:
        together.swap()
    return view


@router.delete(
    "/{name}",
    status_code=204,
    dependencies=[needs("admin")],
    response_class=Response,
    responses=responses(ClassifierNotFoundError, ConfirmationRequiredError, ClassifierInUseError),
)
def delete_classifier(
    name: str,
    db: DB,
    workspace: Workspace,
    together: Processes,
    confirm: Annotated[
        str | None,
        Query(max_length=200, description="Its name, needed where it has versions."),
    ] = None,
) -> None:
    """Delete a classifier with its versions, aliases and jobs. Uploads stay."""
    classifiers.delete(db, workspace, name, confirm=confirm)
    together.swap()
