"""What a training process and its parent say to each other, through pipes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.db.repositories.events import Event
from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.steps.publication import Outcome
from app.storage import CacheFolder


@dataclass(frozen=True)
class Resources:
    """What this machine gives to a training process."""

    storage_url: str
    device: str
    threads: int
    weights_dir: Path | None
    checkpoint_seconds: float
    cache: CacheFolder


@dataclass(frozen=True)
class Report:
    """How far the job is; `progress` is the job's progress object."""

    phase: str
    progress: dict[str, Any]
    events: tuple[Event, ...] = field(default=())


@dataclass(frozen=True)
class Quiet:
    """Nothing will be heard until one call returns, in so many seconds at most."""

    seconds: float


@dataclass(frozen=True)
class Failure:
    """The step failed. `again`: another attempt may succeed without anybody's help.

    `retryable`: the same job may succeed later, when somebody asks for it, be it after changing
    what the detail names.
    """

    code: str
    detail: str
    again: bool
    retryable: bool


@dataclass(frozen=True)
class Stopped:
    """The step stopped because it was told to."""


Message = Report | Quiet | SavedCheckpoint | Outcome | Failure | Stopped
Send = Callable[[Message], None]
