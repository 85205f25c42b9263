"""Which images a job can correct, and what becomes of them: pure functions, without a session.

An image is one that the version was trained on or holds out. Its picture is corrected in all the
files that the version has of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from app.db.repositories.learning import SizedImage
from app.db.repositories.trained import TrainedRow
from app.db.rows import group
from app.db.tables import Job
from app.errors import FieldError, ServiceError
from app.services.classifiers.spec import ClassifierSpec
from app.services.jobs.reports import CorrectedView, CorrectionsView
from app.services.labels import named
from app.services.steps.forgetting import UnknownClassError
from app.services.steps.plans import (
    BaseVersion,
    CorrectedImage,
    CorrectPlan,
    PlannedClass,
    owner_of,
)
from app.services.steps.requests import Correction, CorrectRequest


class UnknownImageError(ServiceError, status=422, code="unknown-image"):
    """The version to start from was neither trained on an image nor holds it out."""


class CannotCorrectError(
    ServiceError, status=422, code="cannot-correct", title="Cannot be corrected"
):
    """A correction changes nothing, leaves a class empty, or is one that the method cannot make."""


def plan(
    job: Job, classifier: ClassifierSpec, request: CorrectRequest, base: BaseVersion
) -> CorrectPlan:
    """Return what a job corrects. Raises what `decide` does."""
    images = decide(base, request.images)
    assert base.spec is not None  # noqa: S101 - `decide` has refused that
    return CorrectPlan(
        job_id=job.id,
        classifier_id=owner_of(job),
        # The version's own, as for forgetting.
        spec=base.spec,
        promotion=classifier.promotion,
        base_version_id=base.version_id,
        parts=base.parts,
        history=base.history,
        classes=_classes(base, images),
        last_index=base.last_index,
        last_task=base.last_task,
        groups={**base.held_out_groups, **_moved_groups(base, images)},
        grouped=bool(base.trained_groups),
        images=images,
        record=_record(base, images),
    )


def decide(base: BaseVersion, corrections: Sequence[Correction]) -> tuple[CorrectedImage, ...]:
    """Return what becomes of each image, in their order.

    Raises UnknownClassError, also without a version, UnknownImageError and CannotCorrectError.
    """
    if not base.classes:
        raise UnknownClassError(
            "This classifier has no live version. Learn first, or name a version by base_version.",
            errors=[FieldError("/base_version", "there is no live version to start from")],
        )
    _check_labels(base, corrections)
    recorded = _Recorded(base)
    found = [recorded.find(correction) for correction in corrections]
    images = tuple(image for image in found if image is not None)
    if len(images) < len(found):
        errors = [
            FieldError(f"/images/{position}/sha256", "the version does not have this image")
            for position, image in enumerate(found)
            if image is None
        ]
        raise UnknownImageError(
            f"{len(errors)} of the images are not of this version: it was neither trained on them "
            "nor does it hold them out, or a correction has left them out. Give their sha256 as "
            "the version's images have it, or name another version by base_version.",
            errors=errors,
        )
    if errors := [*_twice(images), *_unchanged(images)]:
        raise CannotCorrectError(
            f"{len(errors)} of the corrections change nothing: leave them out of the request.",
            errors=errors,
        )
    _check_left(base, images)
    return images


def report(plan: CorrectPlan, residual: Sequence[str]) -> CorrectionsView:
    """Return the report of a job; `residual` names what stays as it was."""
    return CorrectionsView(
        images=[
            CorrectedView(
                sha256=image.files[0],
                before=list(image.before),
                label=image.label,
                used="held_out" if image.held_out else "exemplar" if image.exemplar else "trained",
            )
            for image in plan.images
        ],
        residual=list(residual),
    )


class _Recorded:
    """The images of a version, found by the hash of a file or of the pixels."""

    def __init__(self, base: BaseVersion) -> None:
        self._trained = group((sha256, label) for label, sha256 in base.learnt_as_now)
        self._exemplars = group((sha256, label) for label, sha256 in base.exemplars)
        self._held_out = group(
            (sha256, planned.label) for planned in base.classes for sha256 in planned.held_out
        )
        self._labels = base.labels
        known = self._trained.keys() | self._exemplars.keys() | self._held_out.keys()
        self._pixels = {
            image.sha256: image.pixels_sha256
            for image in base.identities
            if image.sha256 in known and image.pixels_sha256 is not None
        }
        self._files = group((pixels, sha256) for sha256, pixels in sorted(self._pixels.items()))
        self._known = known

    def find(self, correction: Correction) -> CorrectedImage | None:
        """Return the image that a correction names, None where the version does not have it."""
        given = correction.sha256
        pixels = self._pixels.get(given, given)
        own = [given] if given in self._known else []
        # The file that is named comes first.
        files = dict.fromkeys([*own, *self._files.get(pixels, ())])
        if not files:
            return None
        labels = {
            label
            for sha256 in files
            for by_file in (self._trained, self._exemplars, self._held_out)
            for label in by_file.get(sha256, ())
        }
        return CorrectedImage(
            files=tuple(files),
            before=tuple(label for label in self._labels if label in labels),
            label=correction.label,
            held_out=not any(
                sha256 in self._trained or sha256 in self._exemplars for sha256 in files
            ),
            exemplar=any(sha256 in self._exemplars for sha256 in files),
        )


def _check_labels(base: BaseVersion, corrections: Sequence[Correction]) -> None:
    unknown = [
        (position, correction.label)
        for position, correction in enumerate(corrections)
        if correction.label is not None and correction.label not in base.labels
    ]
    if unknown:
        errors = [
            FieldError(f"/images/{position}/label", "there is no such class")
            for position, _ in unknown
        ]
        labels = sorted({label for _, label in unknown})
        raise UnknownClassError(
            f"The version to start from does not know {named(labels)}. A correction makes no new "
            "class: leave the images out (label null), and send them under the new label to learn.",
            errors=errors,
        )


def _twice(images: Sequence[CorrectedImage]) -> Iterator[FieldError]:
    first: dict[str, int] = {}
    for position, image in enumerate(images):
        earlier = first.setdefault(image.files[0], position)
        if earlier != position:
            yield FieldError(
                f"/images/{position}/sha256", f"it is the same picture as /images/{earlier}"
            )


def _unchanged(images: Sequence[CorrectedImage]) -> Iterator[FieldError]:
    for position, image in enumerate(images):
        if image.before == (image.label,):
            yield FieldError(f"/images/{position}/label", "that is its label already")


def _check_left(base: BaseVersion, images: Sequence[CorrectedImage]) -> None:
    """Refuse to empty a class, or to leave it without exemplars."""
    trained = _by_label(base.learnt_as_now | base.exemplars)
    exemplars = _by_label(base.exemplars)
    moved = [image for image in images if image.exemplar]
    emptied = [label for label, own in trained.items() if not _left(own, label, images)]
    bare = [label for label, own in exemplars.items() if not _left(own, label, moved)]
    if emptied:
        raise CannotCorrectError(
            f"No image that was trained on would be left of {named(sorted(emptied))}: forget it "
            "instead (kind forget).",
            errors=list(_pointers(images, emptied)),
        )
    if bare:
        raise CannotCorrectError(
            f"No exemplar would be left of {named(sorted(bare))}: learn more images of it first "
            "(on_existing extend), or forget it (kind forget).",
            errors=list(_pointers(images, bare)),
        )


def _by_label(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    return {label: set(found) for label, found in group(pairs).items()}


def _left(hashes: set[str], label: str, images: Sequence[CorrectedImage]) -> set[str]:
    """Return which images a label has after the corrections."""
    changed = [image for image in images if not image.held_out]
    gone = {sha256 for image in changed if image.label != label for sha256 in image.files}
    come = {image.files[0] for image in changed if image.label == label}
    return (hashes - gone) | come


def _pointers(images: Sequence[CorrectedImage], labels: Sequence[str]) -> Iterator[FieldError]:
    for position, image in enumerate(images):
        if not image.held_out and not set(labels).isdisjoint(image.before):
            yield FieldError(f"/images/{position}", "its class would be left with too few images")


def _classes(base: BaseVersion, images: Sequence[CorrectedImage]) -> tuple[PlannedClass, ...]:
    """Return the classes with the images that they have after the corrections."""
    sizes = {
        exemplar.sha256: exemplar.size for planned in base.classes for exemplar in planned.exemplars
    }
    return tuple(_class(planned, images, sizes) for planned in base.classes)


def _class(
    planned: PlannedClass, images: Sequence[CorrectedImage], sizes: Mapping[str, int]
) -> PlannedClass:
    label = planned.label
    left = [image for image in images if label in image.before and image.label != label]
    come = [image for image in images if image.label == label and label not in image.before]
    gone = {sha256 for image in left for sha256 in image.files}
    exemplars = [image for image in planned.exemplars if image.sha256 not in gone]
    exemplars += [
        next(SizedImage(sha256, sizes[sha256]) for sha256 in image.files if sha256 in sizes)
        for image in come
        if image.exemplar
    ]
    moved = sum(not image.held_out for image in come) - sum(not image.held_out for image in left)
    return replace(
        planned,
        exemplars=tuple(exemplars),
        held_out=tuple(sha256 for sha256 in planned.held_out if sha256 not in gone),
        new_held_out=tuple(image.files[0] for image in come if image.held_out),
        train_images=planned.train_images + moved,
    )


def _record(
    base: BaseVersion, images: Sequence[CorrectedImage]
) -> dict[str, tuple[TrainedRow, ...]]:
    """Return which labels the version takes from which images, and which it gives to them."""
    index_of = {planned.label: planned.index for planned in base.classes}
    identities = {image.sha256: image for image in base.identities}
    rows: list[tuple[str, TrainedRow]] = []
    for image in images:
        own = _group_of(base, image)
        for sha256 in image.files:
            for label in image.before:
                if label != image.label:
                    row = TrainedRow(*identities[sha256], index_of[label], True, own)
                    rows.append((label, row))
            if image.label is not None and not image.held_out:
                row = TrainedRow(*identities[sha256], index_of[image.label], False, own)
                rows.append((image.label, row))
    return {label: tuple(found) for label, found in group(rows).items()}


def _group_of(base: BaseVersion, image: CorrectedImage) -> str | None:
    """Return the group of an image that was trained on, None where it has none."""
    names = (
        base.trained_group.get((label, sha256)) for label in image.before for sha256 in image.files
    )
    return next((name for name in names if name is not None), None)


def _moved_groups(
    base: BaseVersion, images: Sequence[CorrectedImage]
) -> dict[tuple[str, str], str]:
    """Return the groups, by (new label, image), of held-out images that get another label."""
    return {
        (image.label, sha256): name
        for image in images
        if image.label is not None and image.held_out
        for sha256 in image.files
        for label in image.before
        if (name := base.held_out_groups.get((label, sha256))) is not None
    }
