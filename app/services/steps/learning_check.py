"""Checks of the request for a learning step, where PyTorch is loaded."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows
from app.errors import FieldError, ServiceError
from app.services.classifiers import classifiers
from app.services.classifiers.spec import ClassifierSpec, spec_of
from models import methods
from models.spec import Spec


class MemoryTooSmallError(ServiceError, status=422, code="memory-too-small"):
    """The exemplar memory cannot hold one image of each class."""


class TaskIsFrozenError(ServiceError, status=422, code="task-is-frozen"):
    """The job would extend a class, and its method never changes a task once it is learnt."""


class Checked(NamedTuple):
    """A classifier as it was read, and what the learning core gets of it with a job's options."""

    stored: ClassifierSpec
    spec: Spec


def check_options(
    db: Database,
    workspace: str,
    classifier_name: str,
    options: Mapping[str, Any],
    absent: ClassifierSpec | None = None,
) -> Checked:
    """Check options before the transaction, which blocks other writers: the check may take long.

    `absent` is what the classifier becomes where there is none yet. Raises ClassifierNotFoundError
    and InvalidOptionsError.
    """
    with db.reading() as session:
        found = classifier_rows.find(session, workspace, classifier_name)
        stored = absent if found is None else spec_of(found)
    if stored is None:
        raise classifiers.not_found()
    return Checked(stored, classifiers.check_spec(stored, options))


def check_method(spec: Spec, known: set[str], train_counts: Mapping[str, int]) -> None:
    """Refuse what the method cannot learn. `train_counts` are images to train on by label.

    `known` are the labels of the base version. Raises TaskIsFrozenError and MemoryTooSmallError.
    """
    needs = methods.needs(spec.method)
    if needs.task_id and any(train_counts[label] for label in train_counts if label in known):
        detail = f"{spec.method} never changes a task once it is learnt"
        raise TaskIsFrozenError(
            f"{detail}, so it cannot learn more of a known class. Send the images under a new "
            "label, or use a method without tasks.",
            errors=[FieldError("/on_existing", detail)],
        )
    budget = spec.memory.exemplars
    classes = len(known.union(train_counts))
    if needs.exemplars and budget is not None and budget < classes:
        raise MemoryTooSmallError(
            f"{budget} exemplars cannot hold one image of each of {classes} classes. Raise the "
            "classifier's memory.exemplars."
        )
