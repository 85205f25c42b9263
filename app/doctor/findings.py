"""What a check says, and what it looks at."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.settings import Settings

State = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    A problem keeps the service from working; a warning is what will cost something, or may be
    meant; what is skipped could not be looked at.
    """

    check: str
    state: State
    what: str
    # What helps; empty where nothing is to be done.
    help: str = ""


@dataclass(frozen=True)
class CheckContext:
    """What the checks look at: settings, the environment they came from, and where the API is."""

    settings: Settings
    url: str
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


Check = Callable[[CheckContext], Iterator[Finding]]


class Say:
    """Makes the findings of one check."""

    def __init__(self, check: str) -> None:
        self._check = check

    def ok(self, what: str) -> Finding:
        """Say that something is as it should be."""
        return Finding(self._check, "ok", what)

    def warning(self, what: str, help_: str) -> Finding:
        """Say that something will cost something, or may be meant."""
        return Finding(self._check, "warning", what, help_)

    def problem(self, what: str, help_: str) -> Finding:
        """Say that something keeps the service from working."""
        return Finding(self._check, "problem", what, help_)

    def skipped(self, what: str) -> Finding:
        """Say that something could not be looked at."""
        return Finding(self._check, "skipped", what)
