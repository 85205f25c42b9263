"""A training that ended near chance is tried once more, at a tenth of its rates."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.checkpoint import Checkpoint
from models.compute import Compute
from models.fit import Fit
from models.progress import Progress
from models.version_warnings import FEW_STEPS

from .conftest import Chain, pictures
from .test_trainer import assert_identical

NEW = {column: pictures(column, 12) for column in range(4)}
# The first leaves the network at chance; at a tenth of it everything is learnt.
TOO_HIGH: dict[str, Any] = {"lr": 10, "max_grad_norm": 1e4, "epochs": 17}
HOPELESS: dict[str, Any] = {"lr": 1e-12, "epochs": 17}


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """At such a rate rounding decides what is learnt, and not all CPUs multiply in bf16."""
    on_cpu = Compute(torch.device("cpu"), bf16=False)
    monkeypatch.setattr(Compute, "on", lambda _device: on_cpu)


def test_a_second_try_rescues_a_rate_that_is_too_high(chain: Callable[..., Chain]) -> None:
    told: list[str] = []
    reports: list[Progress] = []
    result = chain("finetune", **TOO_HIGH).learn(NEW, warn=told.append, report=reports.append)
    assert result.metrics["training_accuracy"] > 0.9
    tries = result.metrics["report"]["tries"]
    assert tries == {"first": tries["first"], "second": 1.0, "kept": "second"}
    assert Fit(tries["first"], 48, 4, 0.25).at_chance
    (warning,) = told
    assert "tried once more at a tenth of the lr" in warning
    assert any("a second, slower try reached 100%" in said for said in result.warnings)
    training = [each for each in reports if each.phase == "training"]
    firsts = [each.second_try is None for each in training]
    assert firsts == sorted(firsts, reverse=True)
    assert len(set(firsts)) == 2


def test_it_is_the_training_at_that_rate(chain: Callable[..., Chain]) -> None:
    """From the same start: nothing of the first try is left in the weights."""
    second = chain("finetune", **TOO_HIGH).learn(NEW)
    alone = chain("finetune", **(TOO_HIGH | {"lr": 1.0})).learn(NEW)
    for part, own in alone.state.parts.items():
        for name, tensor in own.items():
            assert torch.allclose(tensor, second.state.parts[part][name], rtol=1e-3), name


@pytest.mark.parametrize("options", [TOO_HIGH, HOPELESS], ids=["second kept", "first kept"])
def test_both_tries_can_be_resumed_from(
    chain: Callable[..., Chain], options: dict[str, Any]
) -> None:
    saved: list[bytes] = []
    expected = chain("finetune", **options).learn(
        NEW, save=lambda made: saved.append(made.encode())
    )
    assert len(saved) == 2 * 17
    for data in (saved[16], saved[17], saved[-1]):
        resume = Checkpoint.decode(data)
        assert resume.encode() == data
        told: list[str] = []
        resumed = chain("finetune", **options).learn(NEW, resume=resume, warn=told.append)
        assert_identical(resumed, expected)
        # What was told before the attempt that resumes is not told again.
        assert len(told) == (resume.first is None)


def test_the_first_try_is_kept_where_the_second_is_no_better(chain: Callable[..., Chain]) -> None:
    result = chain("finetune", **HOPELESS).learn(NEW)
    tries = result.metrics["report"]["tries"]
    assert tries["first"] >= tries["second"]
    assert tries["kept"] == "first"
    assert result.metrics["training_accuracy"] == tries["first"]
    assert "a second, slower try reached" in result.warnings[0]


def test_too_few_steps_are_not_tried_again(chain: Callable[..., Chain]) -> None:
    told: list[str] = []
    short = chain("finetune", **(HOPELESS | {"epochs": FEW_STEPS // 3})).learn(
        NEW, warn=told.append
    )
    assert "tries" not in short.metrics["report"]
    assert told == []
    assert "near chance" in short.warnings[0]
