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


def find(
    images: Iterable[LabelledImage], earlier: Iterable[LabelledImage] = ()
) -> list[Contradiction]:
    """Return those of `images` that one before them, or an earlier one, has under another label.

    They show the same pixels.
    """
    first: dict[str, LabelledImage] = {}
    for image in earlier:
        first.setdefault(image.picture, image)
    found = []
    for image in images:
        other = first.setdefault(image.picture, image)
        if other.label != image.label:
            text = (
                f"{image.name!r}, labelled {image.label!r}, is the same image as {other.name!r}, "
                f"labelled {other.label!r}"
            )
            found.append(Contradiction(image.name, text))
    return found


def with_warnings(
    warnings: Sequence[str], found: Sequence[Contradiction], *, earlier: int = 0
) -> list[str]:
    """Return the warnings of an upload together with those of contradictions that are found in it.

    It has been warned of `earlier` ones.
    """
    number = earlier + len(found)
    lines = [line for line in warnings if line != _unnamed(earlier)]
    named = found[: max(0, _NAMED - earlier)]
    lines += [f"{contradiction.text}. It counts under both labels." for contradiction in named]
    return lines if number <= _NAMED else [*lines, _unnamed(number)]


def _unnamed(number: int) -> str:
    """Return what is said of the contradictions that are not named, of so many in all."""
    return f"{number - _NAMED} more images have two labels."
