"""What a learning step trains on and measures on: decided by pure functions, without a session.

No image is ever both trained on and measured on, under whichever labels it is sent.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from app.db.repositories.learning import LabelledImage
from app.errors import ServiceError
from app.services.labels import named
from app.services.steps.plans import BaseVersion, FreshImage, PlannedClass


class ClassAlreadyLearntError(ServiceError, status=409, code="class-already-learnt"):
    """A label is known to the version the job starts from, and `on_existing` is `error`."""


class NoTrainingImagesError(ServiceError, status=422, code="no-training-images"):
    """There is nothing to train on, or a new class has test images only."""


def check_labels(known: Collection[str], train_counts: Mapping[str, int], on_existing: str) -> None:
    """Refuse labels that the job could not learn. `train_counts` are images to train on by label.

    `known` are the labels of the base version.
    Raises ClassAlreadyLearntError and NoTrainingImagesError.
    """
    again = [label for label in train_counts if label in known]
    if again and on_existing == "error":
        raise ClassAlreadyLearntError(
            f"Already learnt: {named(again)}. Send on_existing=extend to learn more of them."
        )
    bare = [label for label, count in train_counts.items() if not count and label not in known]
    if bare:
        raise NoTrainingImagesError(
            f"No image to train on: {named(bare)}. Send images of these classes with split=train."
        )
    if not any(train_counts.values()):
        raise NoTrainingImagesError(
            "The uploads hold no image to train on. Send images with split=train."
        )


def train_counts(images: Iterable[LabelledImage]) -> dict[str, int]:
    """Return every label of the images and how many images it has to train on."""
    counts: dict[str, int] = {}
    for image in images:
        counts[image.label] = counts.get(image.label, 0) + (image.split == "train")
    return counts


def plan(
    images: Sequence[LabelledImage], base: BaseVersion, fraction: float, seed: int
) -> tuple[tuple[PlannedClass, ...], tuple[FreshImage, ...]]:
    """Return the new version's classes, by column, and the new images to train on.

    `images` are the job's, in the order (upload, position); `fraction` is the part of each class's
    new images to hold out, and `seed` decides which. Raises NoTrainingImagesError.
    """
    train, held_out = _split(images, base, fraction, seed)
    if not train:
        raise NoTrainingImagesError(
            "Every image has been learnt already or is held out to measure on. Send new images."
        )
    known = set(base.labels)
    new = [label for label in dict.fromkeys(image.label for image in images) if label not in known]
    classes = [*_known_classes(base, train, held_out), *_new_classes(new, base, train, held_out)]
    columns = {planned.label: column for column, planned in enumerate(classes)}
    return tuple(classes), tuple(
        FreshImage(image.sha256, image.size, columns[image.label]) for image in train
    )


def _known_classes(
    base: BaseVersion, train: Sequence[LabelledImage], held_out: Mapping[str, Sequence[str]]
) -> list[PlannedClass]:
    # An image that is trained on again, because it is not an exemplar, was counted when it was
    # learnt first.
    added = Counter(
        image.label for image in train if (image.label, image.sha256) not in base.learnt_before
    )
    return [
        replace(
            planned,
            train_images=planned.train_images + added[planned.label],
            new_held_out=tuple(
                sha256
                for sha256 in held_out.get(planned.label, ())
                if sha256 not in planned.held_out
            ),
        )
        for planned in base.classes
    ]


def _new_classes(
    labels: Sequence[str],
    base: BaseVersion,
    train: Sequence[LabelledImage],
    held_out: Mapping[str, Sequence[str]],
) -> list[PlannedClass]:
    """Return the classes of a new task, with indices that no version of the chain has used."""
    counts = Counter(image.label for image in train)
    for label in labels:
        if not counts[label]:
            raise NoTrainingImagesError(
                f"Every image of {label!r} is held out to measure on. Send more images of it."
            )
    return [
        PlannedClass(
            label=label,
            index=index,
            task=base.last_task + 1,
            known=False,
            train_images=counts[label],
            ranking_id=None,
            exemplars=(),
            held_out=(),
            new_held_out=tuple(held_out.get(label, ())),
        )
        for index, label in enumerate(labels, start=base.last_index + 1)
    ]


def _split(
    images: Iterable[LabelledImage], base: BaseVersion, fraction: float, seed: int
) -> tuple[list[LabelledImage], dict[str, list[str]]]:
    """Return the images to train on, in order, and the hashes of those to hold out, by label.

    An image that is held out under one label is not trained on under another.
    """
    unique = {(image.label, image.sha256, image.split): image for image in images}.values()
    held_out = _held_out_as_sent(unique, base)
    aside = base.held_out.union(*held_out.values())
    train = [
        image
        for image in unique
        if image.split == "train"
        and image.sha256 not in aside
        and (image.label, image.sha256) not in base.exemplars
    ]
    drawn = _drawn([image for image in train if image.sha256 not in base.learnt], fraction, seed)
    for label, hashes in drawn.items():
        held_out.setdefault(label, []).extend(hashes)
    aside = aside.union(*drawn.values())
    return [image for image in train if image.sha256 not in aside], held_out


def _held_out_as_sent(images: Iterable[LabelledImage], base: BaseVersion) -> dict[str, list[str]]:
    """Return the images of the test split, and those held out of forgotten classes, by label.

    An image that was learnt is not held out. One that was held out of a class that has been
    forgotten since is held out again, under whichever label and split it is sent.
    """
    held_out_before = base.ever_held_out - base.held_out
    held_out: dict[str, dict[str, None]] = {}
    for image in images:
        test = image.split == "test" and image.sha256 not in base.learnt
        if test or image.sha256 in held_out_before:
            held_out.setdefault(image.label, {})[image.sha256] = None
    return {label: list(hashes) for label, hashes in held_out.items()}


def _drawn(images: Iterable[LabelledImage], fraction: float, seed: int) -> dict[str, list[str]]:
    """Return the images that the seed chooses to be held out, by label."""
    by_label: dict[str, list[str]] = {}
    for image in images:
        by_label.setdefault(image.label, []).append(image.sha256)
    return {label: _chosen(hashes, fraction, seed) for label, hashes in by_label.items()}


def _chosen(hashes: Sequence[str], fraction: float, seed: int) -> list[str]:
    """Return floor(fraction · n) of n images, the same ones whatever their order."""
    # The decimal that was written, not the binary fraction next to it: 0.29 · 100 is 29.
    count = math.floor(Fraction(str(fraction)) * len(hashes))

    def draw(sha256: str) -> str:
        return hashlib.sha256(f"{seed}:{sha256}".encode()).hexdigest()

    return sorted(hashes, key=draw)[:count]
