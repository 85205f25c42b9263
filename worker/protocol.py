"""The messages between a training process and its worker, sent through pipes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.db.repositories.events import Event
from app.services.advice.ending import Advised
from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.steps.evaluating import Evaluated
from app.services.steps.publication import Outcome
from app.storage import CacheFolder
from worker.room import ImageRoom


@dataclass(frozen=True)
class Resources:
    """What a training process may use of this machine."""

    storage_url: str
    device: str
    threads: int
    weights_dir: Path | None
    checkpoint_seconds: float
    cache: CacheFolder
    room: ImageRoom
    log_level: str = "info"
    # As in the settings: what may run networks that are not trained.
    engine: str = "auto"


@dataclass(frozen=True)
class Report:
    """How far the job is. `phase` is the job phase, `progress` the job's progress object."""

    phase: str
    progress: dict[str, Any]
    events: tuple[Event, ...] = field(default=())


@dataclass(frozen=True)
class Quiet:
    """A long call begins: no message comes until it returns, for up to `seconds`."""

    seconds: float


@dataclass(frozen=True)
class Failure:
    """The attempt failed. `again`: another attempt may succeed without anybody's help.

    `retryable`: the same job may succeed on a client's retry, perhaps after a change that the
    detail names.
    """

    code: str
    detail: str
    again: bool
    retryable: bool


@dataclass(frozen=True)
class Stopped:
    """The step stopped because the worker ordered it."""


# What a job found out, or made.
Finding = Advised | Evaluated
Result = Outcome | Finding
Message = Report | Quiet | SavedCheckpoint | Result | Failure | Stopped
Send = Callable[[Message], None]
