"""Which of a project's images are new to a classifier, and which it knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.db.tables import Classifier
from app.services.classifiers import lineage
from app.services.steps import starting
from app.services.uploads.collecting import Collected, PreparedImage


@dataclass
class Sorted:
    """Images by what is to be done with them."""

    new: list[PreparedImage] = field(default_factory=list)
    # Learnt, held out or left out by a correction, under the label that they have.
    known: int = 0
    # Known under another label: to be corrected, where the new one is the label of a class.
    relabelled: list[PreparedImage] = field(default_factory=list)


def sort(session: Session, classifier: Classifier, collected: Collected) -> Sorted:
    """Compare images with those of the version that the classifier's next step starts from."""
    base = starting.load(session, lineage.find_base(session, classifier, None))
    pictures = {image.sha256: image.pixels_sha256 or image.sha256 for image in base.identities}

    def named(pairs: frozenset[tuple[str, str]]) -> set[tuple[str, str]]:
        return {(label, pictures.get(sha256, sha256)) for label, sha256 in pairs}

    held_out = frozenset(
        (planned.label, sha256) for planned in base.classes for sha256 in planned.held_out
    )
    now = named(base.learnt_as_now | held_out)
    settled = now | named(base.taken_out)
    labels: Mapping[str, str] = {picture: label for label, picture in now}
    found = Sorted()
    for image in collected.images:
        picture = image.row.picture
        if (image.label, picture) in settled:
            found.known += 1
        elif picture in labels:
            found.relabelled.append(image)
        else:
            found.new.append(image)
    return found
