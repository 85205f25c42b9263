"""``…/versions/{version}/held-out``, ``/confusion`` and ``/suspects``: of labelled images."""

from typing import Annotated

from fastapi import Query

from app.api.access import Router, needs
from app.api.deps import DB, Tensors, Workspace
from app.api.paging import DEFAULT_LIMIT, Limit, Page
from app.api.problems import responses
from app.api.versions import Behind, Reference
from app.services.classifiers import judgements
from app.services.classifiers.classifiers import ClassifierNotFoundError
from app.services.classifiers.confusion import ConfusionView
from app.services.classifiers.judgements import (
    JudgementView,
    LookedAtView,
    NotJudgedError,
    SuspectView,
)
from app.services.classifiers.version_file import TensorsUnreadableError
from app.services.classifiers.versions import ClassNotFoundError, VersionNotFoundError
from app.services.stored import StorageUnavailableError

router = Router(
    prefix="/v1/classifiers/{name}/versions/{version}",
    tags=["versions"],
    dependencies=[needs("train")],
)

_ERRORS = (
    ClassifierNotFoundError,
    VersionNotFoundError,
    NotJudgedError,
    TensorsUnreadableError,
    StorageUnavailableError,
)


class SuspectsPage(Page[SuspectView]):
    """One page of suspects, and how many images were looked at for them."""

    looked_at: LookedAtView


@router.get("/held-out", responses=responses(*_ERRORS, ClassNotFoundError))
def list_held_out(
    name: str,
    version: Reference,
    db: DB,
    tensors: Tensors,
    workspace: Workspace,
    label: Annotated[str | None, Query(max_length=1000)] = None,
    predicted: Annotated[str | None, Query(max_length=1000)] = None,
    wrong: Annotated[
        bool | None, Query(description="Whether the version contradicts them.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    after: Behind = -1,
) -> Page[JudgementView]:
    """List the held-out images with what the version says of them, most surely wrong first."""
    found = judgements.held_out(
        db,
        tensors,
        workspace,
        name,
        version,
        label=label,
        predicted=predicted,
        wrong=wrong,
        limit=limit + 1,
        after=after,
    )
    return Page.of(found, limit, lambda image: str(image.position))


@router.get("/confusion", responses=responses(*_ERRORS))
def get_confusion(
    name: str, version: Reference, db: DB, tensors: Tensors, workspace: Workspace
) -> ConfusionView:
    """Count how often held-out images of one class were called another."""
    return judgements.confusion(db, tensors, workspace, name, version)


@router.get("/suspects", responses=responses(*_ERRORS))
def list_suspects(
    name: str,
    version: Reference,
    db: DB,
    tensors: Tensors,
    workspace: Workspace,
    limit: Limit = DEFAULT_LIMIT,
    after: Behind = -1,
) -> SuspectsPage:
    """List images whose label the version's scores contradict, most surely wrong first.

    A job of the kind `correct` takes them.
    """
    found = judgements.suspects(db, tensors, workspace, name, version)
    later = [image for image in found.images if image.position > after][: limit + 1]
    page = Page[SuspectView].of(later, limit, lambda image: str(image.position))
    return SuspectsPage(**dict(page), looked_at=found.looked_at)
