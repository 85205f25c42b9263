"""A version's classes with the accuracy on each, on the footing that the version goes by."""

from collections.abc import Iterator

import torch

from app.db.engine import Database
from app.db.repositories import versions as version_rows
from app.db.rows import columns_of
from app.db.tables import VersionClass
from app.services.classifiers import classifiers, versions
from app.services.classifiers.goes_by import GoesByView
from app.services.classifiers.judged_sets import JudgedSets
from app.services.classifiers.version_views import MeasuredClassView
from app.storage import TensorStore
from models.judging import Judged
from models.standard_errors import binomial


def page(
    db: Database,
    store: TensorStore,
    workspace: str,
    name: str,
    reference: str,
    *,
    limit: int,
    after: int,
) -> list[MeasuredClassView]:
    """Return up to `limit` of a version's classes by index, those after an index.

    Raises ClassifierNotFoundError, VersionNotFoundError, TensorsUnreadableError and
    StorageUnavailableError.
    """
    with db.reading() as session:
        classifier = classifiers.require(session, workspace, name)
        version = versions.require(session, classifier, reference)
        found = version_rows.page_of_classes(session, version.id, limit=limit, after=after)
        trained = GoesByView.of_version(version.metrics).used == "trained"
        sets = JudgedSets.kept(session, version) if trained else None
    judged = None if sets is None else sets.read(store, "trained")
    if sets is None or judged is None:  # the version's release did not keep them
        figures = {row.label: GoesByView.of_held_out(row) for row in found}
    else:
        grouped = version.metrics["leave_one_out"]["grouped"]
        figures = dict(zip(sets.labels, _left_out(judged, len(sets.labels), grouped), strict=True))
    return [_view(row, figures[row.label]) for row in found]


def _left_out(judged: Judged, classes: int, grouped: bool) -> Iterator[GoesByView]:
    """Return what the left-out images of each column tell."""
    right = judged.columns[judged.predicted == judged.columns]
    counts = (torch.bincount(of, minlength=classes).tolist() for of in (judged.columns, right))
    for images, hits in zip(*counts, strict=True):
        accuracy = hits / images if images else None
        yield GoesByView(
            accuracy=accuracy,
            images=images,
            standard_error=None if grouped else binomial(accuracy, images),
            used="trained",
        )


def _view(row: VersionClass, figure: GoesByView) -> MeasuredClassView:
    return MeasuredClassView(**columns_of(row), exemplars=row.kept, goes_by=figure)
