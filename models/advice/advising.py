"""Advice: a table of what was measured, and which row to choose."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from models.advice.candidates import Candidate, pretrained, trained
from models.advice.images import JudgedImages
from models.advice.rows import Clock, LeftOut, Row
from models.advice.training import try_training
from models.advice.trials import CompileOf, TimeUpError, Trials, try_analytic
from models.advice.verdict import Recommendation, recommend, warnings
from models.errors import LearningError
from models.trunks import as_it_is

# The part of the time that pretrained networks may take where others are to be trained.
_PRETRAINED_SHARE = 0.5
# Job phases: of a candidate that trains nothing, and of one that trains.
_PHASES = ("extracting", "training")


@dataclass(frozen=True)
class Advice:
    """The rows in the order in which they were measured, and the candidates that were not."""

    rows: Sequence[Row]
    left_out: Sequence[LeftOut]
    recommendation: Recommendation | None
    warnings: Sequence[str]


class Doing(NamedTuple):
    """What advice is at: the candidate, its job phase, and the fraction of all that is done."""

    candidate: Candidate
    phase: str
    fraction: float


def advise(
    images: JudgedImages,
    seconds: float,
    *,
    device: str = "auto",
    weights_dir: Path | None = None,
    clock: Clock = time.monotonic,
    report: Callable[[Doing], None] = lambda _: None,
    measured: Callable[[Row | LeftOut], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    compile_of: CompileOf = lambda _spec, _images: as_it_is,
) -> Advice:
    """Measure methods on images, and say which to choose.

    `analytic` is tried on each pretrained backbone that is installed, and, where images are small
    or many, methods that train from random weights. `seconds` bound all but the first row, by
    `clock`. `measured` is called with each row as it is there, and with what is left out.
    `compile_of` compiles networks that are not trained.

    Raises Cancelled when `should_stop` returns True.
    """
    trials = Trials(images, device, weights_dir, clock, should_stop, compile_of)
    ready, to_train = pretrained(images, weights_dir), trained(images)
    everything = [*ready, *to_train]
    end = clock() + seconds
    ready_by = end - seconds * (1 - _PRETRAINED_SHARE) if to_train else end
    rows: list[Row] = []
    left_out: list[LeftOut] = []
    for index, candidate in enumerate(everything):
        trains = index >= len(ready)
        here = partial(_tell, report, candidate, _PHASES[trains], index, len(everything))
        here(0.0)
        until = ready_by if index else None
        if trains:
            until = clock() + (end - clock()) / (len(everything) - index)
        try:
            row = _tried(trials, candidate, here, until, trains=trains)
        except (TimeUpError, LearningError) as error:
            left_out.append(LeftOut(candidate, str(error)))
            measured(left_out[-1])
        else:
            rows.append(row)
            measured(row)
    return Advice(rows, left_out, recommend(rows), warnings(rows))


def _tell(
    report: Callable[[Doing], None],
    candidate: Candidate,
    phase: str,
    index: int,
    candidates: int,
    done: float,
) -> None:
    report(Doing(candidate, phase, (index + min(done, 1.0)) / candidates))


def _tried(
    trials: Trials,
    candidate: Candidate,
    report: Callable[[float], None],
    until: float | None,
    *,
    trains: bool,
) -> Row:
    if until is None:
        return try_analytic(trials, candidate, report, None)
    if trials.clock() >= until:
        raise TimeUpError("no time was left for it")
    return (try_training if trains else try_analytic)(trials, candidate, report, until)
