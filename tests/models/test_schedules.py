"""Schedules against PyTorch's own schedulers."""

from collections.abc import Callable

import pytest
import torch
from torch.optim import lr_scheduler

from models.schedules import Cosine, OneCycle, Schedule, Steps

COUNT = 200


def theirs(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]) -> list[float]:
    """The rates of `COUNT` optimizer steps under a scheduler of PyTorch's, from a rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    seen = []
    for _ in range(COUNT):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def ours(schedule: Schedule) -> list[float]:
    return [schedule.factor(step / COUNT) for step in range(COUNT)]


def test_steps() -> None:
    expected = theirs(lambda of: lr_scheduler.MultiStepLR(of, [140, 180], 0.2))
    assert ours(Steps((0.7, 0.9), 0.2)) == pytest.approx(expected)


def test_steps_with_a_warm_up() -> None:
    def make(of: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        rise = lr_scheduler.LinearLR(of, 0.01, total_iters=10)
        return lr_scheduler.SequentialLR(of, [rise, lr_scheduler.MultiStepLR(of, [110])], [10])

    assert ours(Steps((0.6,), warm_up=0.05)) == pytest.approx(theirs(make))


def test_cosine() -> None:
    def make(of: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
        rise = lr_scheduler.LinearLR(of, 0.01, total_iters=10)
        fall = lr_scheduler.CosineAnnealingLR(of, COUNT - 10)
        return lr_scheduler.SequentialLR(of, [rise, fall], [10])

    assert ours(Cosine(0.05)) == pytest.approx(theirs(make))


def test_one_cycle() -> None:
    """PyTorch's turns one step before 30 %, and ends at its last step instead of after it."""
    expected = theirs(lambda of: lr_scheduler.OneCycleLR(of, 1.0, total_steps=COUNT + 1))
    turn = 0.3 * (COUNT + 1) - 1
    schedule = OneCycle()
    fractions = [
        0.3 * step / turn if step < turn else 0.3 + 0.7 * (step - turn) / (COUNT - turn)
        for step in range(COUNT)
    ]
    assert [schedule.factor(each) for each in fractions] == pytest.approx(expected)


@pytest.mark.parametrize("schedule", [Steps((0.5,), warm_up=0.1), Cosine(), OneCycle()])
def test_a_factor_is_above_nothing_and_at_most_one(schedule: Schedule) -> None:
    assert all(0 < factor <= 1 for factor in ours(schedule))
