"""Held-out accuracy while a network trains: it costs little and changes nothing."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from models import fit, watching
from models.inference import no_pause
from models.learner import learn
from models.progress import Progress
from models.watching import Watch

from .conftest import Chain, task_images

IMAGES = task_images(0, 24)


@pytest.mark.parametrize("method", ["icarl", "packnet", "piggyback"])
def test_it_does_not_change_training(
    chain: Callable[..., Chain], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared with a training that has no image to measure on."""
    monkeypatch.setattr(watching, "SHARE", float("inf"))
    learner = chain(method)
    data = learner.data(IMAGES)
    none = replace(data, held_out=data.held_out[:0], held_out_columns=data.held_out_columns[:0])
    told: list[Progress] = []
    watched = learn(learner.spec, None, data, device="cpu", report=told.append)
    alone = learn(learner.spec, None, none, device="cpu")
    seen = [each for each in told if each.held_out_accuracy is not None]
    assert len({each.epoch for each in seen}) >= 2
    for part, own in alone.state.parts.items():
        for name, tensor in own.items():
            if name not in ("temperature",):  # fitted to held-out images afterwards
                assert torch.equal(tensor, watched.state.parts[part][name]), f"{part}/{name}"


def test_last_and_best_are_told(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter([0.5, 1.0, 0.75])
    monkeypatch.setattr(fit, "held_out_accuracy", lambda *_: next(measured))
    watch = Watch(*chain("finetune").begin(IMAGES), no_pause)
    assert (watch.last, watch.best) == (None, None)
    for _ in range(3):
        watch.after_epoch(1.0, 48, always=True)
    assert (watch.last, watch.best) == (0.75, 1.0)


def test_it_takes_a_bounded_share_of_the_time(chain: Callable[..., Chain]) -> None:
    """By a clock on which measuring takes a second: in a training of 100 s at most five times."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    watch = Watch(*chain("finetune").begin(IMAGES), no_pause, clock)
    measured = [watch.after_epoch(1.0, 48, always=False) is not None for _ in range(100)]
    assert sum(measured) == 5
    assert measured.index(True) >= 2  # 20 images: a third of 20/48 of a second in 5 % of the time
    assert watch.after_epoch(1.0, 48, always=True) is not None
