"""Query parameters that name several things: repeated, or separated by commas."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import BeforeValidator

Item = TypeVar("Item")

SEVERAL = "Repeated, or separated by commas."


def _apart(given: object) -> object:
    """Return the texts of a parameter, those between commas apart."""
    if not isinstance(given, (list, tuple)):
        return given
    return [part for text in given for part in str(text).split(",")]


Several = Annotated[Sequence[Item], BeforeValidator(_apart)]
