"""``…/versions/{version}/held-out``, ``/judged``, ``/confusion`` and ``/suspects``."""

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
from app.services.classifiers.goes_by import Use
from app.services.classifiers.judged_sets import NotJudgedError
from app.services.classifiers.judgements import JudgementView, LookedAtView
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


Label = Annotated[str | None, Query(max_length=1000)]
Wrong = Annotated[bool | None, Query(description="Whether the version contradicts them.")]


class SuspectsPage(Page[JudgementView]):
    """One page of suspects, and how many images were looked at for them."""

    looked_at: LookedAtView


@router.get("/held-out", responses=responses(*_ERRORS, ClassNotFoundError))
def list_held_out(
    name: str,
    version: Reference,
    db: DB,
    tensors: Tensors,
    workspace: Workspace,
    label: Label = None,
    predicted: Label = None,
    wrong: Wrong = None,
    limit: Limit = DEFAULT_LIMIT,
    after: Behind = -1,
) -> Page[JudgementView]:
    """List the held-out images with what the version says of them, most surely wrong first."""
    return list_judged(
        name, version, db, tensors, workspace, "held_out", label, predicted, wrong, limit, after
    )


@router.get("/judged", responses=responses(*_ERRORS, ClassNotFoundError))
def list_judged(
    name: str,
    version: Reference,
    db: DB,
    tensors: Tensors,
    workspace: Workspace,
    used: Use | None = None,
    label: Label = None,
    predicted: Label = None,
    wrong: Wrong = None,
    limit: Limit = DEFAULT_LIMIT,
    after: Behind = -1,
) -> Page[JudgementView]:
    """List held-out images and those that can be left out, most surely wrong first."""
    found = judgements.judged(
        db,
        tensors,
        workspace,
        name,
        version,
        used=used,
        label=label,
        predicted=predicted,
        wrong=wrong,
        limit=limit + 1,
        after=after,
    )
    return Page.of(found, limit, lambda image: str(image.position))


@router.get("/confusion", responses=responses(*_ERRORS))
def get_confusion(
    name: str,
    version: Reference,
    db: DB,
    tensors: Tensors,
    workspace: Workspace,
    used: Use = "held_out",
) -> ConfusionView:
    """Count how often images of one class were called another."""
    return judgements.confusion(db, tensors, workspace, name, version, used)


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
    page = Page[JudgementView].of(later, limit, lambda image: str(image.position))
    return SuspectsPage(**dict(page), looked_at=found.looked_at)
