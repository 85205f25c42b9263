"""What a client is told of images that show the same picture as another one."""

from collections.abc import Collection, Iterator, Sequence

from app.db.repositories.learning import LabelledImage
from app.services.labels import named
from app.services.steps.pictures import Pictures
from app.services.steps.plans import BaseVersion

# Contradictions that are named; of the rest, the number is said.
_NAMED = 10


def warnings(
    images: Sequence[LabelledImage],
    base: BaseVersion,
    pictures: Pictures,
    used: Collection[str],
) -> Iterator[str]:
    """Yield what the client should know of a job's images.

    `used` are the hashes of those that are trained on or newly measured on.
    """
    yield from _contradictions(images, base, pictures)
    yield from _left_out(images, base, pictures, used)
    yield from _copies(images, base, pictures)
    yield from _all_alike(images, base, pictures)


def corrected(sent: Sequence[LabelledImage], learnt: Sequence[LabelledImage]) -> Iterator[str]:
    """Yield what the client should know of sent images that a correction keeps from the step."""
    kept = set(learnt)
    names = [image.name for image in sent if image not in kept]
    if names:
        yield (
            f"{len(names)} images are left out, since a correction took that label from them: "
            f"{named(names)}. To learn them so after all, start from a version before the "
            "correction (base_version)."
        )


def _contradictions(
    images: Sequence[LabelledImage], base: BaseVersion, pictures: Pictures
) -> Iterator[str]:
    # By picture and label, what to call the image.
    shown: dict[str, dict[str, str]] = {}
    for image in images:
        labels = shown.setdefault(pictures.alike(image.sha256), {})
        labels.setdefault(image.label, f"{image.name!r} of {image.label!r}")
    for label, sha256 in _known(base):
        if labels := shown.get(pictures.alike(sha256), {}):
            labels.setdefault(label, f"an image of {label!r} that was sent before")
    found = [" and ".join(labels.values()) for labels in shown.values() if len(labels) > 1]
    if found:
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        yield (
            f"The same or nearly the same picture has several labels: "
            f"{'; '.join(found[:_NAMED])}{more}. It is learnt as an example of each of them. If "
            "one of the labels is wrong, correct it (kind correct)."
        )


def _left_out(
    images: Sequence[LabelledImage],
    base: BaseVersion,
    pictures: Pictures,
    used: Collection[str],
) -> Iterator[str]:
    same = pictures.same
    accounted = {same(sha256) for sha256 in base.held_out.union(used)}
    learnt = {same(sha256) for sha256 in base.learnt}
    out = [image for image in images if same(image.sha256) not in accounted]
    unmeasured = [image.name for image in out if image.split == "test"]
    # An exemplar that is sent again is trained on already.
    out = [image for image in out if same(image.sha256) not in learnt]
    untrained = [image.name for image in out if image.split == "train"]
    if unmeasured:
        yield (
            f"{len(unmeasured)} test images are not measured on, since the same or nearly the same "
            f"picture, or an image of their group, is trained on: {named(unmeasured)}"
        )
    if untrained:
        yield (
            f"{len(untrained)} images are not trained on, since they look like images that are "
            f"held out to measure on, or like images of a group on the other side: "
            f"{named(untrained)}"
        )


def _copies(
    images: Sequence[LabelledImage], base: BaseVersion, pictures: Pictures
) -> Iterator[str]:
    # By label and what they look like, the different pictures.
    copies: dict[tuple[str, str], set[str]] = {}
    for label, sha256 in (*_known(base), *((image.label, image.sha256) for image in images)):
        copies.setdefault((label, pictures.alike(sha256)), set()).add(pictures.same(sha256))
    names = [
        image.name for image in images if len(copies[image.label, pictures.alike(image.sha256)]) > 1
    ]
    if names:
        yield (
            f"{len(names)} images look like another image of their class. Such images are "
            f"trained on together or held out together: {named(names)}"
        )


def _all_alike(
    images: Sequence[LabelledImage], base: BaseVersion, pictures: Pictures
) -> Iterator[str]:
    # By new label, the different pictures of each look.
    looks: dict[str, dict[str, set[str]]] = {}
    for image in images:
        if image.label not in base.labels:
            of_label = looks.setdefault(image.label, {})
            of_label.setdefault(pictures.alike(image.sha256), set()).add(
                pictures.same(image.sha256)
            )
    labels = [
        label
        for label, groups in looks.items()
        if len(groups) == 1 and all(len(group) > 1 for group in groups.values())
    ]
    if labels:
        yield (
            "All images of a class look alike, as those of a fixed camera do, so none of them is "
            "measured on; nor would more images or test images of the same view be. Crop the "
            f"images to what differs, or send images of other views: {named(labels)}"
        )


def _known(base: BaseVersion) -> Iterator[tuple[str, str]]:
    """Yield (label, image) of all that the base version was trained on or measured on."""
    yield from base.learnt_before | base.exemplars
    for planned in base.classes:
        for sha256 in planned.held_out:
            yield planned.label, sha256
