"""What a learning job will do: which classes, which images, from which version."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from sqlalchemy.orm import Session

from app.db.repositories import (
    learning as learning_rows,
    versions as version_rows,
)
from app.db.repositories.learning import LabelledImage
from app.db.tables import Classifier, Job, Version
from app.errors import ServiceError
from app.services.classifiers.lineage import base_of, classes_of
from app.services.labels import named
from app.services.steps.plans import FreshImage, LearnPlan, PlannedClass
from models.spec import Spec


class ClassAlreadyLearntError(ServiceError, status=409, code="class-already-learnt"):
    """A label is known to the version the job starts from, and `on_existing` is `error`."""


class NoTrainingImagesError(ServiceError, status=422, code="no-training-images"):
    """There is nothing to train on, or a new class has test images only."""


def check_labels(
    session: Session, base: Version | None, train_counts: Mapping[str, int], on_existing: str
) -> None:
    """Refuse labels that the job could not learn. `train_counts` are images to train on by label.

    Raises ClassAlreadyLearntError and NoTrainingImagesError.
    """
    known = {row.label for row in classes_of(session, base)}
    again = [label for label in train_counts if label in known]
    if again and on_existing == "error":
        raise ClassAlreadyLearntError(
            f"Already learnt: {named(again)}. Send on_existing=extend to learn more of them."
        )
    bare = [label for label, count in train_counts.items() if not count and label not in known]
    if bare:
        raise NoTrainingImagesError(f"No image to train on: {named(bare)}.")
    if not any(train_counts.values()):
        raise NoTrainingImagesError("The uploads hold no image to train on.")


def plan(session: Session, job: Job) -> LearnPlan:
    """Decide what a claimed job learns, and record the version it starts from in the job.

    Raises ClassAlreadyLearntError, UnknownBaseVersionError and NoTrainingImagesError.
    """
    classifier = session.get_one(Classifier, job.classifier_id)
    base = base_of(session, classifier, job)
    images = learning_rows.job_images(session, job.id)
    counts = dict.fromkeys((image.label for image in images), 0)
    for image in images:
        counts[image.label] += image.split == "train"
    check_labels(session, base, counts, job.request["on_existing"])
    spec = model_spec(classifier.spec, job.request["options"])
    classes, fresh = _classes_and_images(session, job, base, images, classifier, spec.seed)
    return LearnPlan(
        job_id=job.id,
        classifier_id=classifier.id,
        spec=spec.model_dump(mode="json"),
        promotion=classifier.spec["promotion"],
        base_version_id=base.id if base else None,
        parts=version_rows.parts(session, base.id) if base else {},
        history=base.metrics if base else None,
        classes=classes,
        fresh=fresh,
    )


def model_spec(stored: Mapping[str, Any], options: Mapping[str, Any]) -> Spec:
    """Return a stored classifier as the learning core sees it, with a job's options over its own.

    Only the shape is checked here: `models.methods.validate` checks the options.
    """
    fields = {name: stored[name] for name in Spec.model_fields}
    return Spec.model_validate({**fields, "options": {**fields["options"], **options}})


def _classes_and_images(
    session: Session,
    job: Job,
    base: Version | None,
    images: Sequence[LabelledImage],
    classifier: Classifier,
    seed: int,
) -> tuple[tuple[PlannedClass, ...], tuple[FreshImage, ...]]:
    known = {row.label: row for row in classes_of(session, base)}
    exemplars = learning_rows.exemplars(session, base.id) if base else {}
    measured = learning_rows.held_out(session, base.id) if base else {}
    held_out_now = {sha256 for hashes in measured.values() for sha256 in hashes}
    ever = learning_rows.ever_held_out(session, base.id) if base else set()
    last_index, last_task = learning_rows.last_used(session, base.id) if base else (-1, -1)
    learnt = learning_rows.learnt_before(session, job.id, base.id) if base else set()
    remembered = {
        (row.label, image.sha256)
        for row in known.values()
        for image in exemplars.get(row.index, ())
    }
    train, held_out = _split(
        images,
        remembered=remembered,
        learnt={sha256 for _, sha256 in learnt | remembered},
        measured=held_out_now,
        aside_before=ever - held_out_now,
        fraction=classifier.spec["validation_fraction"],
        seed=seed,
    )
    if not train:
        raise NoTrainingImagesError("Every image is known already.")
    fresh = Counter(image.label for image in train)
    # What is trained on again, because it was forgotten, was counted when it was learnt first.
    added = Counter(image.label for image in train if (image.label, image.sha256) not in learnt)
    classes = [
        PlannedClass(
            label=row.label,
            index=row.index,
            task=row.task,
            known=True,
            train_images=row.train_images + added[row.label],
            ranking_id=row.ranking_id,
            exemplars=tuple(exemplars.get(row.index, ())),
            held_out=(before := tuple(measured.get(row.index, ()))),
            new_held_out=tuple(
                sha256 for sha256 in held_out.get(row.label, ()) if sha256 not in before
            ),
        )
        for row in known.values()
    ]
    new_labels = [
        label for label in dict.fromkeys(image.label for image in images) if label not in known
    ]
    for place, label in enumerate(new_labels, start=1):
        if not fresh[label]:
            raise NoTrainingImagesError(f"Every image of {label!r} is held out to measure on.")
        classes.append(
            PlannedClass(
                label=label,
                index=last_index + place,
                task=last_task + 1,
                known=False,
                train_images=fresh[label],
                ranking_id=None,
                exemplars=(),
                held_out=(),
                new_held_out=tuple(held_out.get(label, ())),
            )
        )
    columns = {planned.label: column for column, planned in enumerate(classes)}
    return tuple(classes), tuple(
        FreshImage(image.sha256, image.size, columns[image.label]) for image in train
    )


def _split(
    images: Sequence[LabelledImage],
    *,
    remembered: set[tuple[str, str]],
    learnt: set[str],
    measured: set[str],
    aside_before: set[str],
    fraction: float,
    seed: int,
) -> tuple[list[LabelledImage], dict[str, list[str]]]:
    """Tell a job's images to train on, in order, from those to measure on, by label.

    No image is ever both, under any label: `learnt` have been trained on before and `measured`
    are held out already. `remembered` are the (label, image) that are exemplars anyway.
    `aside_before` were held out of classes that are forgotten, and are held out again.
    """
    unique = {(image.label, image.sha256, image.split): image for image in images}.values()
    held_out: dict[str, list[str]] = defaultdict(list)
    aside = set(measured)
    for image in unique:
        if image.sha256 in aside_before:
            goes_aside = image.sha256 not in held_out[image.label]
        else:
            goes_aside = image.split == "test" and image.sha256 not in learnt
        if goes_aside:
            held_out[image.label].append(image.sha256)
            aside.add(image.sha256)
    train = [
        image
        for image in unique
        if image.split == "train"
        and image.sha256 not in aside
        and (image.label, image.sha256) not in remembered
    ]
    new: dict[str, list[str]] = defaultdict(list)
    for image in train:
        if image.sha256 not in learnt:
            new[image.label].append(image.sha256)
    for label, hashes in new.items():
        chosen = _chosen(hashes, fraction, seed)
        held_out[label].extend(chosen)
        aside.update(chosen)
    return [image for image in train if image.sha256 not in aside], held_out


def _chosen(hashes: Sequence[str], fraction: float, seed: int) -> list[str]:
    """Choose floor(fraction · n) of n images, the same ones whatever their order."""
    # The decimal that was written, not the binary fraction next to it: 0.29 · 100 is 29.
    count = math.floor(Fraction(str(fraction)) * len(hashes))

    def draw(sha256: str) -> str:
        return hashlib.sha256(f"{seed}:{sha256}".encode()).hexdigest()

    return sorted(hashes, key=draw)[:count]
