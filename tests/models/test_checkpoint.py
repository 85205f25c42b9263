"""Resuming within an epoch, from what was stored, is to the bit as if nothing had happened."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from models import methods
from models.checkpoint import Checkpoint, CheckpointMismatchError
from models.errors import Cancelled
from models.progress import Progress
from models.state import State, decode, encode

from .conftest import Chain, task_images
from .test_trainer import assert_identical

OPTIONS = {"packnet": {"retrain_epochs": 1}, "lwf": {"warm_up": 1}}


def always(_epoch_end: bool) -> bool:
    return True


def second_task(chain: Callable[..., Chain], method: str) -> Chain:
    """A chain whose first task has been stored and read again, as a service does."""
    learner = chain(method, **OPTIONS.get(method, {}))
    learner.learn(task_images(0))
    first = learner.results[-1]
    parts = {name: decode(encode(part)) for name, part in first.state.parts.items()}
    learner.results[-1] = replace(first, state=State(parts, first.state.tasks))
    return learner


# analytic has no steps of training.
METHODS = sorted({info.name for info in methods.describe_methods()} - {"analytic"})


@pytest.mark.parametrize("method", METHODS)
def test_every_step_can_be_resumed_from(chain: Callable[..., Chain], method: str) -> None:
    stored: list[bytes] = []
    learner = second_task(chain, method)
    expected = copy.deepcopy(learner).learn(
        task_images(1), save=lambda made: stored.append(made.encode()), save_due=always
    )
    places = set()
    for data in stored:
        checkpoint = Checkpoint.decode(data)
        assert checkpoint.encode() == data
        places.add((checkpoint.phase, checkpoint.epoch, checkpoint.step))
        resumed = copy.deepcopy(learner).learn(task_images(1), resume=checkpoint)
        assert_identical(resumed, expected)
    assert len(places) == len(stored) >= 4
    assert any(step for _, _, step in places)


def test_progress_goes_on_where_it_was(chain: Callable[..., Chain]) -> None:
    def every_step(learner: Chain, **kwargs: object) -> list[Progress]:
        told: list[Progress] = []
        learner.learn(task_images(0, 40), report=told.append, **kwargs)
        return [p for p in told if p.phase == "training" and p.step == p.steps]

    saved: list[Checkpoint] = []
    whole = every_step(chain("finetune", epochs=3), save=saved.append, save_due=always)
    within = next(made for made in saved if (made.epoch, made.step) == (1, 2))
    rest = every_step(chain("finetune", epochs=3), resume=within)
    assert [p.epoch for p in rest] == [2, 3]
    assert [p.fraction for p in rest] == [p.fraction for p in whole[1:]]
    assert [p.loss for p in rest] == [p.loss for p in whole[1:]]


def test_a_stop_may_ask_for_a_checkpoint(chain: Callable[..., Chain]) -> None:
    expected = chain("icarl").learn(task_images(0))
    saved: list[Checkpoint] = []
    steps = 0

    def third_time() -> bool:
        nonlocal steps
        steps += 1
        return steps == 4

    with pytest.raises(Cancelled):
        chain("icarl").learn(
            task_images(0), save=saved.append, save_due=lambda _: steps == 4, should_stop=third_time
        )
    (checkpoint,) = saved
    assert (checkpoint.epoch, checkpoint.step) == (1, 1)
    assert_identical(chain("icarl").learn(task_images(0), resume=checkpoint), expected)


def test_what_does_not_fit_is_refused(chain: Callable[..., Chain]) -> None:
    saved: list[Checkpoint] = []
    chain("icarl").learn(task_images(0), save=saved.append)
    checkpoint = saved[0]
    tensors = checkpoint.optimizer
    turned = {name: value.flatten()[:1].clone() for name, value in tensors.items()}
    unfit = [
        replace(checkpoint, phase=1),
        replace(checkpoint, epoch=3),
        replace(checkpoint, step=2),
        replace(checkpoint, parts={"backbone": checkpoint.parts["backbone"]}),
        replace(checkpoint, parts={**checkpoint.parts, "head.0": {"weight": torch.zeros(1)}}),
        replace(checkpoint, optimizer=turned),
        replace(checkpoint, optimizer={"99.momentum_buffer": torch.zeros(1)}),
    ]
    for other in unfit:
        with pytest.raises(CheckpointMismatchError):
            chain("icarl").learn(task_images(0), resume=other)


@pytest.mark.parametrize("data", [b"", b"no safetensors", encode({"weight": torch.zeros(2)})])
def test_what_is_no_checkpoint_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        Checkpoint.decode(data)
