"""What a learning step trains on and measures on: decided by pure functions, without a session.

No image is ever both trained on and measured on, under whichever labels and in whichever files it
is sent, nor one that looks like it or is of its group.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from app.db.repositories.learning import IdentifiedImage, LabelledImage
from app.errors import FieldError, ServiceError
from app.services.labels import named
from app.services.steps import drawing, sides as group_sides, twins
from app.services.steps.pictures import Pictures
from app.services.steps.plans import BaseVersion, FreshImage, PlannedClass
from app.services.steps.sides import Sides

# Classes that the errors of an answer list at most.
_LISTED = 100


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
            f"Already learnt: {named(again)}. Send on_existing=extend to learn more of them.",
            errors=_of_each(again, "/on_existing", "already learnt"),
        )
    bare = [label for label, count in train_counts.items() if not count and label not in known]
    if bare:
        raise NoTrainingImagesError(
            f"No image to train on: {named(bare)}. Send images of these classes with split=train.",
            errors=_of_each(bare, "/uploads", "no image to train on"),
        )
    if not any(train_counts.values()):
        raise NoTrainingImagesError(
            "The uploads hold no image to train on. Send images with split=train."
        )


def _of_each(labels: Sequence[str], pointer: str, detail: str) -> list[FieldError]:
    return [FieldError(pointer, detail, label) for label in labels[:_LISTED]]


def train_counts(images: Iterable[LabelledImage]) -> dict[str, int]:
    """Return every label of the images and how many images it has to train on."""
    counts: dict[str, int] = {}
    for image in images:
        counts[image.label] = counts.get(image.label, 0) + (image.split == "train")
    return counts


class Decision(NamedTuple):
    """What a learning step does: the new version's classes, by column, and what it trains on.

    `groups` are those of (label, image), of the images to train on and of those held out.
    """

    classes: tuple[PlannedClass, ...]
    fresh: tuple[FreshImage, ...]
    warnings: tuple[str, ...]
    groups: Mapping[tuple[str, str], str]


def plan(
    images: Sequence[LabelledImage], base: BaseVersion, fraction: float, seed: int
) -> Decision:
    """Decide what to train on and what to measure on.

    `images` are the job's, in the order (upload, position); `fraction` is the part of each class's
    new images to hold out, and `seed` decides which. Raises NoTrainingImagesError.
    """
    pictures = Pictures(map(_identified, images), base.identities)
    sent, images = images, _without_corrected(images, base, pictures)
    train, held_out = _split(images, base, pictures, fraction, seed)
    if not train:
        raise NoTrainingImagesError(
            "Every image has been learnt already or is held out to measure on, looks like one that "
            "is or is of its group, or has a label that a correction took from it. Send new images."
        )
    known = set(base.labels)
    new = [label for label in dict.fromkeys(image.label for image in images) if label not in known]
    classes = [
        *_known_classes(base, train, held_out, pictures),
        *_new_classes(new, base, train, held_out),
    ]
    columns = {planned.label: column for column, planned in enumerate(classes)}
    before = {(label, pictures.same(sha256)) for label, sha256 in base.learnt_as_now}
    fresh = [
        FreshImage(
            image.sha256,
            image.size,
            columns[image.label],
            again=(image.label, pictures.same(image.sha256)) in before,
        )
        for image in train
    ]
    used = {image.sha256 for image in train}.union(*held_out.values())
    measured = [image for image in images if image.sha256 in held_out.get(image.label, ())]
    warnings = (
        *twins.corrected(sent, images),
        *twins.warnings(images, base, pictures, used),
        *group_sides.warnings(images, base, train, measured),
    )
    groups = {**base.held_out_groups, **_groups([*train, *measured], images, pictures)}
    return Decision(tuple(classes), tuple(fresh), warnings, groups)


def _groups(
    used: Iterable[LabelledImage], images: Iterable[LabelledImage], pictures: Pictures
) -> dict[tuple[str, str], str]:
    """Return the groups of (label, image): of a picture in several files, the first one named."""
    by_picture: dict[tuple[str, str], str] = {}
    for image in images:
        if image.group is not None:
            by_picture.setdefault((image.label, pictures.same(image.sha256)), image.group)
    found = {
        (image.label, image.sha256): by_picture.get((image.label, pictures.same(image.sha256)))
        for image in used
    }
    return {key: group for key, group in found.items() if group is not None}


def _without_corrected(
    images: Sequence[LabelledImage], base: BaseVersion, pictures: Pictures
) -> list[LabelledImage]:
    """Return the images but those with a label that a correction took from their picture."""
    taken_out = {(label, pictures.same(sha256)) for label, sha256 in base.taken_out}
    return [
        image for image in images if (image.label, pictures.same(image.sha256)) not in taken_out
    ]


def _identified(image: LabelledImage) -> IdentifiedImage:
    return IdentifiedImage(image.sha256, image.pixels_sha256, image.perceptual_hash)


def _known_classes(
    base: BaseVersion,
    train: Sequence[LabelledImage],
    held_out: Mapping[str, Sequence[str]],
    pictures: Pictures,
) -> list[PlannedClass]:
    same = pictures.same
    before = {(label, same(sha256)) for label, sha256 in base.learnt_as_now | base.exemplars}
    # An image that is trained on again, because it is not an exemplar, was counted when it was
    # learnt first.
    added = Counter(
        image.label for image in train if (image.label, same(image.sha256)) not in before
    )
    present = {same(sha256) for sha256 in base.held_out}
    return [
        replace(
            planned,
            train_images=planned.train_images + added[planned.label],
            new_held_out=tuple(
                sha256 for sha256 in held_out.get(planned.label, ()) if same(sha256) not in present
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
                f"Every image of {label!r} is held out to measure on. Send more images of it, "
                "of other groups if they have groups."
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
    images: Sequence[LabelledImage],
    base: BaseVersion,
    pictures: Pictures,
    fraction: float,
    seed: int,
) -> tuple[list[LabelledImage], dict[str, list[str]]]:
    """Return the images to train on, in order, and the hashes of those to hold out, by label.

    A picture that is held out under one label is not trained on under another. Images that look
    alike are on the same side, and so are those of a group: those like one that is held out are not
    trained on, and those like one that is trained on are not measured on.
    """
    same = pictures.same
    sides = Sides(images, base, pictures)
    unique: dict[tuple[str, str, str], LabelledImage] = {}
    for image in images:
        unique.setdefault((image.label, same(image.sha256), image.split), image)
    as_sent = _held_out_as_sent(unique.values(), base, pictures)
    aside = {same(sha256) for sha256 in base.held_out}
    aside.update(same(image.sha256) for image in as_sent)
    exemplars = {(label, same(sha256)) for label, sha256 in base.exemplars}
    sent = [
        image
        for (label, picture, split), image in unique.items()
        if split == "train" and picture not in aside and (label, picture) not in exemplars
    ]
    train = [image for image in sent if sides.may_be_trained_on(image)]
    trained = {sides.cluster(image) for image in train}
    measured: dict[str, list[str]] = {}
    for image in [*as_sent, *filter(sides.must_be_held_out, sent)]:
        unseen = not sides.is_learnt(image) and sides.cluster(image) not in trained
        if unseen and sides.may_be_measured_on(image):
            measured.setdefault(image.label, []).append(image.sha256)
    new = [image for image in train if not sides.is_learnt(image)]
    drawn = drawing.drawn(new, sides.cluster, fraction, seed)
    for label, hashes in drawn.items():
        measured.setdefault(label, []).extend(hashes)
    chosen = {sha256 for hashes in drawn.values() for sha256 in hashes}
    out = {sides.cluster(image) for image in new if image.sha256 in chosen}
    return [image for image in train if sides.cluster(image) not in out], measured


def _held_out_as_sent(
    images: Iterable[LabelledImage], base: BaseVersion, pictures: Pictures
) -> list[LabelledImage]:
    """Return the images of the test split, and those held out of forgotten classes.

    An image that was learnt is not held out. One that was held out of a class that has been
    forgotten since is held out again, under whichever label and split it is sent.
    """
    same = pictures.same
    learnt = {same(sha256) for sha256 in base.learnt}
    held_out_before = {same(sha256) for sha256 in base.ever_held_out - base.held_out}
    held_out: dict[tuple[str, str], LabelledImage] = {}
    for image in images:
        picture = same(image.sha256)
        test = image.split == "test" and picture not in learnt
        if test or picture in held_out_before:
            held_out.setdefault((image.label, picture), image)
    return list(held_out.values())
