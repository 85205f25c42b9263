"""A project's labelling config: where its images are, and what names their classes."""

from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from app.errors import ServiceError

_LONGEST = 10**6


class InvalidLabellingConfigError(ServiceError, status=422, code="invalid-labelling-config"):
    """The project's labelling config does not ask for the class of an image."""


@dataclass(frozen=True)
class LabellingConfig:
    """The tags of a project that classifies images."""

    # The name of the tag Image, and the field of a task's data that has its image.
    image: str
    field: str
    # The name of the tag Choices, and what may be chosen; anything, where tasks bring the choices.
    choices: str
    labels: frozenset[str] | None


def parse(text: str) -> LabellingConfig:
    """Return the first Choices of a config that are about an Image.

    A choice is called by its alias, if it has one, as in annotations. Raises
    InvalidLabellingConfigError.
    """
    tags = _tags(text)
    images = {
        tag.given["name"]: tag.given["value"].removeprefix("$")
        for tag in tags
        if tag.name == "Image" and tag.given.keys() >= {"name", "value"}
    }
    for tag in tags:
        image = tag.given.get("toName", "")
        # Choices of regions say nothing of the image as a whole.
        of_regions = tag.given.get("perRegion", "").lower() == "true"
        if tag.name == "Choices" and "name" in tag.given and image in images and not of_regions:
            return LabellingConfig(image, images[image], tag.given["name"], _labels(tag))
    raise InvalidLabellingConfigError(
        'The labelling config lacks <Image name="…" value="$…"/> with <Choices name="…" '
        'toName="…"> of it. Add both: the template Image Classification has them.'
    )


@dataclass
class _Tag:
    """A tag with its attributes and what is directly inside."""

    name: str
    given: dict[str, str]
    inside: list["_Tag"] = field(default_factory=list)


def _labels(choices: _Tag) -> frozenset[str] | None:
    if "value" in choices.given:
        return None
    each = [tag for tag in choices.inside if tag.name == "Choice"]
    if any(tag.inside for tag in each):
        raise InvalidLabellingConfigError(
            "The labelling config has choices within choices, and a class has one name. Write "
            "them side by side."
        )
    return frozenset(
        tag.given.get("alias") or tag.given["value"] for tag in each if "value" in tag.given
    )


def _tags(text: str) -> list[_Tag]:
    """Return all tags in their order. Nothing is read but the text, and no entity is expanded."""
    found: list[_Tag] = []
    around: list[_Tag] = []

    def begin(name: str, given: dict[str, str]) -> None:
        tag = _Tag(name, given)
        if around:
            around[-1].inside.append(tag)
        around.append(tag)
        found.append(tag)

    def refuse(*_: Any) -> None:
        raise InvalidLabellingConfigError(
            "The labelling config has a document type (<!DOCTYPE>), which is not read. Remove it."
        )

    if len(text) > _LONGEST:
        raise InvalidLabellingConfigError(
            f"The labelling config is longer than {_LONGEST} characters. Shorten it."
        )
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = begin
    parser.EndElementHandler = lambda _name: around.pop()
    parser.StartDoctypeDeclHandler = refuse
    try:
        # The encoding is given above, whatever a declaration in the text says.
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise InvalidLabellingConfigError(
            f"The labelling config is not XML: {error}. Save it anew in Label Studio."
        ) from None
    return found
