"""What a version says of images whose label is known: held-out ones, and suspected wrong labels."""

from itertools import islice
from math import exp
from typing import Literal

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import versions as version_rows
from app.db.tables import Version
from app.errors import ServiceError
from app.services import stored
from app.services.classifiers import classifiers, versions
from app.services.classifiers.confusion import ConfusionView
from app.services.classifiers.version_file import TensorsUnreadableError
from app.services.classifiers.versions import ClassNotFoundError
from app.services.labels import clean_label
from app.storage import TensorStore
from models import figures, judging
from models.judging import HELD_OUT, LEFT_OUT, PARTS, Judged, Judgement
from models.state import decode

Use = Literal["held_out", "trained"]
_USES: dict[str, Use] = {HELD_OUT: "held_out", LEFT_OUT: "trained"}


class NotJudgedError(ServiceError, status=409, code="not-judged"):
    """The version was made by a release that did not keep what it says of its images."""


class JudgementView(BaseModel):
    """What the version says of an image; `GET /v1/images/{sha256}` shows it while it is kept."""

    position: int
    sha256: str
    label: str
    predicted: str
    score: float
    label_score: float


class SuspectView(JudgementView):
    """An image whose label is likely to be wrong."""

    used: Use = Field(description="`trained`: the scores are those of the version without it.")


class LookedAtView(BaseModel):
    """How many images were looked at for suspects, of how many."""

    held_out: int
    trained: int = Field(description="Images that were trained on and can be left out.")
    of_trained: int


class Suspects(BaseModel):
    """Suspects, the most surely wrong first, and how many images were looked at."""

    images: list[SuspectView]
    looked_at: LookedAtView


class _Known(BaseModel):
    """A version's classes by column, and its parts that have judgements, by name."""

    labels: list[str]
    train_images: int
    hashes: dict[str, str]


def held_out(
    db: Database,
    store: TensorStore,
    workspace: str,
    name: str,
    reference: str,
    *,
    limit: int,
    after: int = -1,
    label: str | None = None,
    predicted: str | None = None,
    wrong: bool | None = None,
) -> list[JudgementView]:
    """Return what a version says of up to `limit` held-out images, the most surely wrong first.

    Of those after the position `after`. With `label`, of those of that label; with `predicted`, of
    those that it calls so; with `wrong`, of those that it contradicts, or does not. Raises
    ClassifierNotFoundError, VersionNotFoundError, ClassNotFoundError, NotJudgedError,
    TensorsUnreadableError and StorageUnavailableError.
    """
    with db.reading() as session:
        version = _version(session, workspace, name, reference)
        known = _known(session, version)
    column = None if label is None else _column(known, label)
    called = None if predicted is None else _column(known, predicted)
    judged = _read(store, known, HELD_OUT)
    chosen = (
        JudgementView(**_fields(judgement, position, known))
        for position, judgement in enumerate(judged.ordered() if judged else ())
        if position > after
        and column in (None, judgement.column)
        and called in (None, judgement.predicted)
        and wrong in (None, judgement.wrong)
    )
    return list(islice(chosen, limit))


def confusion(
    db: Database, store: TensorStore, workspace: str, name: str, reference: str
) -> ConfusionView:
    """Return how often a version called held-out images of one class another.

    Raises what `held_out` does but ClassNotFoundError.
    """
    with db.reading() as session:
        known = _known(session, _version(session, workspace, name, reference))
    judged = _read(store, known, HELD_OUT)
    if judged is None:
        return ConfusionView(labels=[], counts=[])
    counts = figures.confusion(judged.columns, judged.predicted, len(known.labels))
    return ConfusionView.of(known.labels, counts)


def suspects(
    db: Database, store: TensorStore, workspace: str, name: str, reference: str
) -> Suspects:
    """Return the images whose label a version's scores contradict: see `models.judging`.

    Raises what `held_out` does but ClassNotFoundError.
    """
    with db.reading() as session:
        version = _version(session, workspace, name, reference)
        known = _known(session, version)
    found = {part: _read(store, known, part) for part in PARTS}
    sets = {part: judged for part, judged in found.items() if judged is not None}
    names = list(sets)
    contradicted = judging.suspects(list(sets.values()), len(known.labels))
    counts = {part: len(judged.columns) for part, judged in sets.items()}
    return Suspects(
        images=[
            SuspectView(
                **_fields(judgement, position, known),
                used=_USES[names[number]],
            )
            for position, (judgement, number) in enumerate(contradicted)
        ],
        looked_at=LookedAtView(
            held_out=counts.get(HELD_OUT, 0),
            trained=counts.get(LEFT_OUT, 0),
            of_trained=known.train_images,
        ),
    )


def labelled(
    db: Database, store: TensorStore, workspace: str, name: str, reference: str, label: str
) -> list[tuple[str, Use]]:
    """Return the hashes of a class's labelled images, the held-out ones first.

    Empty where the version's release did not keep them. Raises what `held_out` does but
    NotJudgedError.
    """
    with db.reading() as session:
        try:
            known = _known(session, _version(session, workspace, name, reference))
        except NotJudgedError:
            return []
    column = _column(known, label)
    return [
        (judgement.sha256, _USES[part])
        for part in PARTS
        if (judged := _read(store, known, part)) is not None
        for judgement in judged.ordered()
        if judgement.column == column
    ]


def _version(session: Session, workspace: str, name: str, reference: str) -> Version:
    return versions.require(session, classifiers.require(session, workspace, name), reference)


def _known(session: Session, version: Version) -> _Known:
    """Raises NotJudgedError where images were held out and nothing is kept of them."""
    hashes = version_rows.parts(session, version.id)
    if HELD_OUT not in hashes and version.memory.get("held_out"):
        raise NotJudgedError(
            "The release that made this version did not keep what it says of single images. "
            "Evaluate it: a job of the kind evaluate, without uploads, lists its held-out images."
        )
    rows = version_rows.classes(session, [version.id])[version.id]
    return _Known(
        labels=[row.label for row in rows],
        train_images=sum(row.train_images for row in rows),
        hashes={part: hashes[part] for part in PARTS if part in hashes},
    )


def _column(known: _Known, label: str) -> int:
    try:
        return known.labels.index(clean_label(label))
    except ValueError:  # also where no class can have such a label
        raise ClassNotFoundError("This version does not know that class.") from None


def _read(store: TensorStore, known: _Known, part: str) -> Judged | None:
    sha256 = known.hashes.get(part)
    if sha256 is None:
        return None
    with stored.reading("tensors", TensorsUnreadableError(), part=part):
        return Judged.load(decode(store.get(sha256)))


def _fields(judgement: Judgement, position: int, known: _Known) -> dict[str, str | int | float]:
    return {
        "position": position,
        "sha256": judgement.sha256,
        "label": known.labels[judgement.column],
        "predicted": known.labels[judgement.predicted],
        "score": exp(judgement.log_score),
        "label_score": exp(judgement.own),
    }
