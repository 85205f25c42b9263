"""What a version says of images whose label is known, and which labels are suspected wrong."""

from collections.abc import Iterable
from itertools import islice
from math import exp

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.tables import Version
from app.services.classifiers import classifiers, versions
from app.services.classifiers.confusion import ConfusionView
from app.services.classifiers.goes_by import Use
from app.services.classifiers.judged_sets import JudgedSets, NotJudgedError
from app.storage import TensorStore
from models import figures, judging
from models.judging import Judgement

# The held-out images first.
_USES: tuple[Use, ...] = ("held_out", "trained")


class JudgementView(BaseModel):
    """What the version says of an image; `GET /v1/images/{sha256}` shows it while it is kept."""

    position: int
    sha256: str
    label: str
    predicted: str
    score: float
    label_score: float
    used: Use = Field(description="`trained`: judged by all others.")


class LookedAtView(BaseModel):
    """How many images were looked at for suspects, of how many."""

    held_out: int
    trained: int = Field(description="Those that can be left out.")
    of_trained: int


class Suspects(BaseModel):
    """Suspects, the most surely wrong first, and how many images were looked at."""

    images: list[JudgementView]
    looked_at: LookedAtView


def judged(
    db: Database,
    store: TensorStore,
    workspace: str,
    name: str,
    reference: str,
    *,
    used: Use | None,
    limit: int,
    after: int = -1,
    label: str | None = None,
    predicted: str | None = None,
    wrong: bool | None = None,
) -> list[JudgementView]:
    """Return what a version says of up to `limit` images, the most surely wrong first.

    They are those of one use, or of both, after the position `after`. With `label`, those of that
    label; with `predicted`, those that it calls so; with `wrong`, those that it contradicts, or
    does not. Raises ClassifierNotFoundError, VersionNotFoundError, ClassNotFoundError,
    NotJudgedError, TensorsUnreadableError and StorageUnavailableError.
    """
    with db.reading() as session:
        sets = JudgedSets.find(session, _version(session, workspace, name, reference))
    column = None if label is None else sets.column(label)
    called = None if predicted is None else sets.column(predicted)
    chosen = (
        JudgementView(**_fields(judgement, position, sets), used=use)
        for position, (judgement, use) in enumerate(_ordered(sets, store, used))
        if position > after
        and column in (None, judgement.column)
        and called in (None, judgement.predicted)
        and wrong in (None, judgement.wrong)
    )
    return list(islice(chosen, limit))


def _ordered(
    sets: JudgedSets, store: TensorStore, used: Use | None
) -> Iterable[tuple[Judgement, Use]]:
    """Return the judgements of one use, or of both, the most surely wrong first."""
    found = [
        (judgement, use)
        for use in _USES
        if used in (None, use) and (kept := sets.read(store, use)) is not None
        for judgement in kept.ordered()
    ]
    return sorted(found, key=lambda pair: pair[0].rank)


def confusion(
    db: Database,
    store: TensorStore,
    workspace: str,
    name: str,
    reference: str,
    used: Use = "held_out",
) -> ConfusionView:
    """Return how often a version called images of one class another: those of one use.

    Raises what `judged` does but ClassNotFoundError.
    """
    with db.reading() as session:
        sets = JudgedSets.find(session, _version(session, workspace, name, reference))
    kept = sets.read(store, used)
    if kept is None:
        return ConfusionView(labels=[], counts=[])
    counts = figures.confusion(kept.columns, kept.predicted, len(sets.labels))
    return ConfusionView.of(sets.labels, counts)


def suspects(
    db: Database, store: TensorStore, workspace: str, name: str, reference: str
) -> Suspects:
    """Return the images whose label a version's scores contradict: see `models.judging`.

    Raises what `judged` does but ClassNotFoundError.
    """
    with db.reading() as session:
        sets = JudgedSets.find(session, _version(session, workspace, name, reference))
    kept = {use: found for use in _USES if (found := sets.read(store, use)) is not None}
    uses = list(kept)
    contradicted = judging.suspects(list(kept.values()), len(sets.labels))
    counts = {use: len(found.columns) for use, found in kept.items()}
    return Suspects(
        images=[
            JudgementView(**_fields(judgement, position, sets), used=uses[number])
            for position, (judgement, number) in enumerate(contradicted)
        ],
        looked_at=LookedAtView(
            held_out=counts.get("held_out", 0),
            trained=counts.get("trained", 0),
            of_trained=sets.train_images,
        ),
    )


def labelled(
    db: Database, store: TensorStore, workspace: str, name: str, reference: str, label: str
) -> list[tuple[str, Use]]:
    """Return the hashes of a class's labelled images, the held-out ones first.

    Empty where the version's release did not keep them. Raises what `judged` does but
    NotJudgedError.
    """
    with db.reading() as session:
        try:
            sets = JudgedSets.find(session, _version(session, workspace, name, reference))
        except NotJudgedError:
            return []
    column = sets.column(label)
    return [
        (judgement.sha256, use)
        for use in _USES
        if (kept := sets.read(store, use)) is not None
        for judgement in kept.ordered()
        if judgement.column == column
    ]


def _version(session: Session, workspace: str, name: str, reference: str) -> Version:
    return versions.require(session, classifiers.require(session, workspace, name), reference)


def _fields(judgement: Judgement, position: int, sets: JudgedSets) -> dict[str, str | int | float]:
    return {
        "position": position,
        "sha256": judgement.sha256,
        "label": sets.labels[judgement.column],
        "predicted": sets.labels[judgement.predicted],
        "score": exp(judgement.log_score),
        "label_score": exp(judgement.own),
    }
