"""Errors of a request to learn, in words that its sender understands."""

from collections.abc import Iterable
from typing import Self

from pydantic import ValidationError


class InvalidSpecError(ValueError):
    """One field of a classifier's spec is wrong: its JSON pointer and what is wrong with it."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail

    @classmethod
    def first_of(cls, error: ValidationError, within: str, names: Iterable[str]) -> Self:
        """Return the first error of options whose JSON pointer is `within`.

        `names` are the options that exist.
        """
        first = error.errors(include_url=False)[0]
        pointer = "".join(f"/{part}" for part in first["loc"])
        if first["type"] == "extra_forbidden":
            return cls(within + pointer, f"there is no such option; there are {', '.join(names)}")
        return cls(within + pointer, first["msg"])


class LearningError(Exception):
    """A learning step cannot be done. `code` is stable; another attempt fails in the same way."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def diverged(how: str) -> LearningError:
    """Return the error of a training that diverged; `how` says what shows it."""
    return LearningError(
        "training-diverged", f"training diverged, {how}: give a lower lr or a lower max_grad_norm"
    )


class Cancelled(Exception):  # noqa: N818 - not an error: it was asked for
    """A step was stopped because its caller asked for it."""
