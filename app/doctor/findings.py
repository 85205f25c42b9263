"""What a check gets, and the findings that it returns."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.settings import Settings

State = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    A problem keeps the service from working. A warning is a risk or a cost, and may be intended.
    A skipped check needed something that was not available.
    """

    check: str
    state: State
    what: str
    # What to do; empty if there is nothing to do.
    help: str = ""


@dataclass(frozen=True)
class CheckContext:
    """What is checked: the settings, the environment that they come from, and the API's URL.

    No URL: the API itself asks, and needs no check.
    """

    settings: Settings
    url: str | None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    # Whether to read every blob that the database needs.
    deep: bool = False


Check = Callable[[CheckContext], Iterator[Finding]]


class Say:
    """Creates the findings of one check."""

    def __init__(self, check: str) -> None:
        self._check = check

    def ok(self, what: str) -> Finding:
        """Return the finding that something is as it should be."""
        return Finding(self._check, "ok", what)

    def warning(self, what: str, help_: str) -> Finding:
        """Return the finding of a risk or a cost, with what to do."""
        return Finding(self._check, "warning", what, help_)

    def problem(self, what: str, help_: str) -> Finding:
        """Return the finding that something keeps the service from working, with what to do."""
        return Finding(self._check, "problem", what, help_)

    def skipped(self, what: str) -> Finding:
        """Return the finding that a check was not possible, with the reason."""
        return Finding(self._check, "skipped", what)
