"""What advice rests on: which images are judged, and which of them are held out."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.db.repositories import jobs as job_rows, learning as learning_rows, uploads as upload_rows
from app.db.repositories.learning import IdentifiedImage, LabelledImage
from app.db.tables import Job
from app.services import similar_labels
from app.services.advice.requests import request_of
from app.services.classifiers.spec import SMALL_SIDE
from app.services.labels import named
from app.services.steps import learning
from app.services.steps.pictures import Pictures
from app.services.steps.plans import BaseVersion, JobPlan
from models.spec import Settings

# Images that are judged at most: more change little in the table, and take time and memory.
MOST = 5000
# The part of each class that methods which train are measured on.
_HELD_OUT = 0.2
# With fewer images, a class is learnt by chance.
_FEW = 10


class JudgedImage(NamedTuple):
    """An image, its stored bytes, its class, and whether methods that train are measured on it.

    `group` is what it was taken in, if that is known.
    """

    sha256: str
    size: int
    column: int
    held_out: bool
    group: str | None


@dataclass(frozen=True)
class AdvicePlan(JobPlan):
    """Advice on images of `labels`, by column; the rest is as in `models.advice.JudgedImages`.

    `look_alikes` images are not judged since they look like another one of their class.
    """

    seconds: float
    images: tuple[JudgedImage, ...]
    labels: tuple[str, ...]
    apart: bool
    small: bool
    sent: int
    look_alikes: int
    warnings: tuple[str, ...]


def planner(session: Session, job: Job) -> Callable[[], AdvicePlan]:
    """Load what a claimed job is about, and return the function that makes its plan.

    Both raise ServiceError where the job cannot be done.
    """
    request = request_of(job)
    upload_ids = job_rows.uploads_of(session, job.id)
    images = learning_rows.images_of(session, upload_ids)
    small, count = upload_rows.count_small(session, upload_ids, side=SMALL_SIDE)
    return partial(plan, job.id, request.seconds, images, small=2 * small >= count)


def plan(
    job_id: str, seconds: float, images: Sequence[LabelledImage], *, small: bool
) -> AdvicePlan:
    """Decide what is judged. Raises NoTrainingImagesError.

    Images are held out as a learning step does it: those sent as test images if there are some,
    else a part of each class. Where images have groups, all methods are measured on those, since
    one that is left out would be judged by others of its group. Elsewhere, of images of a class
    that look alike only the first is judged, so that none is left out while its like is learnt.
    """
    chosen = any(image.split == "test" for image in images)
    apart = chosen or any(image.group is not None for image in images)
    fraction = 0.0 if chosen else _HELD_OUT
    decision = learning.plan(images, BaseVersion(), fraction, Settings().seed)
    sizes = {image.sha256: image.size for image in images}

    def group_of(column: int, sha256: str) -> str | None:
        return decision.groups.get((decision.classes[column].label, sha256))

    usable = [
        JudgedImage(new.sha256, new.size, new.column, False, group_of(new.column, new.sha256))
        for new in decision.fresh
    ]
    usable += [
        JudgedImage(sha256, sizes[sha256], column, True, group_of(column, sha256))
        for column, planned in enumerate(decision.classes)
        for sha256 in planned.new_held_out
    ]
    different = usable if apart else _different(usable, images)
    labels = [planned.label for planned in decision.classes]
    return AdvicePlan(
        job_id=job_id,
        seconds=seconds,
        images=tuple(_at_most(different, len(labels))),
        labels=tuple(labels),
        apart=apart,
        small=small,
        sent=len(usable),
        look_alikes=len(usable) - len(different),
        warnings=(
            *similar_labels.warnings(labels),
            *decision.warnings,
            *_shortages(different, labels),
        ),
    )


def _different(usable: Sequence[JudgedImage], images: Sequence[LabelledImage]) -> list[JudgedImage]:
    """Return the images without those that look like an earlier one of their class."""
    pictures = Pictures(
        IdentifiedImage(image.sha256, image.pixels_sha256, image.perceptual_hash)
        for image in images
    )
    first: dict[tuple[str, int], JudgedImage] = {}
    for image in usable:
        first.setdefault((pictures.alike(image.sha256), image.column), image)
    return list(first.values())


def _at_most(images: Sequence[JudgedImage], classes: int) -> Iterator[JudgedImage]:
    """Yield at most about `MOST` images, evenly by class, in each as many of those held out."""
    of_class = Counter(image.column for image in images)
    seen: Counter[tuple[int, bool]] = Counter()
    room = max(2, MOST // classes)
    for image in images:
        # As if marks at equal distances: the one after which a whole number is passed is taken.
        part = min(1.0, room / of_class[image.column])
        before = seen[image.column, image.held_out]
        seen[image.column, image.held_out] += 1
        if int((before + 1) * part) > int(before * part):
            yield image


def _shortages(images: Sequence[JudgedImage], labels: Sequence[str]) -> Iterator[str]:
    if len(labels) == 1:
        yield "There is one class only, so there is nothing to tell apart. Send images of others."
    counts = Counter(image.column for image in images)
    single = [label for column, label in enumerate(labels) if counts[column] == 1]
    few = [label for column, label in enumerate(labels) if 1 < counts[column] < _FEW]
    if single:
        yield (
            f"There is only one picture, which cannot be left out to measure on, of: "
            f"{named(single)}. Send more that differ."
        )
    if few:
        yield f"There are fewer than {_FEW} different pictures of: {named(few)}. Send more."
