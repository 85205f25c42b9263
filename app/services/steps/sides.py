"""On which side of the split images may be, by what they look like and by their group.

Images that look alike are on one side, and so are those of a group (a video track, a session, a
patient), in this step and in those before. Both together make clusters.
"""

from collections.abc import Iterator, Sequence

from app.db.repositories.learning import LabelledImage
from app.services.labels import named
from app.services.steps.pictures import Pictures, Sets
from app.services.steps.plans import BaseVersion


class Sides:
    """What the images of a job may be used for, given what the base version did with others."""

    def __init__(
        self, images: Sequence[LabelledImage], base: BaseVersion, pictures: Pictures
    ) -> None:
        alike = pictures.alike
        self._alike = alike
        self._trained, self._held_out = base.trained_groups, base.held_out_group_names
        self._held_out_looks = {alike(sha256) for sha256 in base.held_out}
        self._unmeasured = {alike(sha256) for sha256 in base.learnt}
        self._untrained = set(self._held_out_looks)
        for image in images:
            if image.group in self._trained:
                self._unmeasured.add(alike(image.sha256))
            if image.group in self._held_out:
                self._untrained.add(alike(image.sha256))
        self._clusters = Sets()
        first: dict[str, str] = {}
        # An image that is of no use joins nothing: it would put others on its side.
        for image in filter(self._is_usable, images):
            if image.group is not None:
                look = alike(image.sha256)
                self._clusters.join(first.setdefault(image.group, look), look)
        usable = [image for image in images if self._is_usable(image)]
        # Clusters of which something was trained on, and of which something was held out.
        self._learnt = {self.cluster(i) for i in usable if not self.may_be_measured_on(i)}
        self._aside = {self.cluster(i) for i in usable if not self._may_be_trained_on(i)}

    def cluster(self, image: LabelledImage) -> str:
        """Return the name of the images that must be on the side of this one."""
        return self._clusters.find(self._alike(image.sha256))

    def is_learnt(self, image: LabelledImage) -> bool:
        """Say whether the image's cluster was trained on before, so that it is not drawn."""
        return self.cluster(image) in self._learnt

    def may_be_measured_on(self, image: LabelledImage) -> bool:
        """Say whether nothing like the image, and nothing of its group, was trained on."""
        look = self._alike(image.sha256)
        return look not in self._unmeasured and image.group not in self._trained

    def may_be_trained_on(self, image: LabelledImage) -> bool:
        """Say whether nothing of the image's cluster was held out, or it is trained on anyway."""
        return self._may_be_trained_on(image) and (
            self.is_learnt(image) or self.cluster(image) not in self._aside
        )

    def must_be_held_out(self, image: LabelledImage) -> bool:
        """Say whether an image sent to train on is one to measure on, for its group's sake.

        One that looks like a held-out image is not: it would measure the same again.
        """
        return (
            self._is_usable(image)
            and self.cluster(image) in self._aside - self._learnt
            and self._alike(image.sha256) not in self._held_out_looks
        )

    def _may_be_trained_on(self, image: LabelledImage) -> bool:
        look = self._alike(image.sha256)
        return look not in self._untrained and image.group not in self._held_out

    def _is_usable(self, image: LabelledImage) -> bool:
        if self.may_be_measured_on(image):
            return True
        return image.split == "train" and self._may_be_trained_on(image)


def warnings(
    images: Sequence[LabelledImage],
    base: BaseVersion,
    trained: Sequence[LabelledImage],
    held_out: Sequence[LabelledImage],
) -> Iterator[str]:
    """Yield what the client should know of groups.

    `trained` and `held_out` are the images that are trained on and newly measured on.
    """
    measured = {image.sha256 for image in held_out}
    moved = [
        image.name
        for image in images
        if image.split == "train"
        and image.group in base.held_out_group_names
        and image.sha256 in measured
    ]
    if moved:
        yield (
            f"{len(moved)} images that were sent to train on are held out to measure on, since "
            f"images of their group were held out before: {named(moved)}"
        )
    grouped = dict.fromkeys(image.label for image in trained if image.group is not None)
    known = {planned.label for planned in base.classes if planned.held_out}
    known |= {image.label for image in held_out}
    bare = [label for label in grouped if label not in known]
    if bare:
        yield (
            "Nothing is held out of a class whose images are all of one group, or of groups that "
            "must stay together or were trained on before: a group is never on both sides. It is "
            "trained on, and not measured. Send images of other groups, also with split=test: "
            f"{named(bare)}"
        )
