"""Images of an upload that have two labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.db.repositories.learning import LabelledImage
from app.errors import FieldError, ServiceError

# Warnings that name an image; of the rest, the number is said.
_NAMED = 20
# Errors of fields that an answer lists at most.
_LISTED = 100


@dataclass(frozen=True)
class Contradiction:
    """An image whose file is `name`, and what contradicts its label."""

    name: str
    text: str


class ContradictoryLabelsError(ServiceError, status=422, code="contradictory-labels"):
    """Images of the upload have two labels, and `strict` refuses that."""

    def __init__(self, found: Sequence[Contradiction]) -> None:
        super().__init__(
            f"Images with two labels: {len(found)}. strict=true refuses them. Send each under "
            "one label only.",
            errors=[FieldError(f"/{image.name}", image.text) for image in found[:_LISTED]],
        )


def find(images: Iterable[LabelledImage]) -> list[Contradiction]:
    """Return the images that an earlier one has under another label: the same pixels."""
    first: dict[str, LabelledImage] = {}
    found = []
    for image in images:
        other = first.setdefault(image.pixels_sha256 or image.sha256, image)
        if other.label != image.label:
            text = (
                f"{image.name!r}, labelled {image.label!r}, is the same image as {other.name!r}, "
                f"labelled {other.label!r}"
            )
            found.append(Contradiction(image.name, text))
    return found


def warnings(found: Sequence[Contradiction]) -> list[str]:
    """Return what is said of the contradictions of an upload that is accepted."""
    lines = [
        f"{contradiction.text}. It counts under both labels." for contradiction in found[:_NAMED]
    ]
    if len(found) > _NAMED:
        lines.append(f"{len(found) - _NAMED} more images have two labels.")
    return lines
