"""What is said of versions that learnt little, or whose accuracy says little."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.fit import Fit
from models.learner import learn

from .conftest import Chain, pictures

NEW = {0: pictures(0, 21), 1: pictures(1, 12)}


def test_too_few_steps_are_warned_of(chain: Callable[..., Chain]) -> None:
    short = chain("finetune", epochs=1, lr=1e-3).learn(NEW)
    assert any("3 steps" in warning for warning in short.warnings)
    assert chain("finetune", epochs=30).learn(NEW).warnings == []


def test_few_steps_that_were_enough_are_not_warned_of(chain: Callable[..., Chain]) -> None:
    result = chain("finetune", epochs=10).learn(NEW)
    assert result.metrics["training_accuracy"] > 0.95
    assert result.warnings == []


def test_training_that_ends_at_chance_is_told(chain: Callable[..., Chain]) -> None:
    """At a rate of nothing the network stays as it was drawn."""
    result = chain("finetune", lr=1e-12, epochs=30).learn(NEW)
    assert "near chance" in result.warnings[0]
    assert "a second, slower try" in result.warnings[0]
    assert result.metrics["warnings"] == result.warnings
    assert result.metrics["training_accuracy"] < 0.6


def test_held_out_images_at_chance_are_told_where_training_went_well(
    chain: Callable[..., Chain],
) -> None:
    """Images without anything to learn can be learnt by heart."""
    learner = chain("finetune", epochs=40)
    data = learner.data({0: noise(20, seed=1), 1: noise(20, seed=2)})
    columns = torch.arange(2).repeat_interleave(100)
    data = replace(data, held_out=noise(200, seed=3), held_out_columns=columns)
    result = learn(learner.spec, None, data, device="cpu")
    assert result.metrics["training_accuracy"] > 0.9
    assert abs(result.metrics["accuracy"] - 0.5) < 0.08  # two standard errors
    assert any(
        "held-out images" in said and "guessing, which gets 50%" in said for said in result.warnings
    )


def noise(count: int, seed: int) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 8, 8), generator=draws, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("accuracy", "images", "classes", "chance", "failed"),
    [
        (0.50, 1000, 2, 0.5, True),
        (0.54, 1000, 2, 0.5, True),
        (0.56, 1000, 2, 0.5, False),
        (0.271, 540, 4, 0.25, True),
        (0.10, 1000, 100, 0.01, False),  # ten times what guessing gives
        (0.02, 1000, 100, 0.01, True),
        (0.90, 1000, 2, 0.9, True),  # always the commoner class
        (0.93, 1000, 2, 0.9, False),
        (0.50, 2, 2, 0.5, True),
        (1.00, 2, 2, 0.5, False),
        (0.50, 4, 4, 0.25, False),
    ],
)
def test_what_is_near_chance(
    accuracy: float, images: int, classes: int, chance: float, failed: bool
) -> None:
    assert Fit(accuracy, images, classes, chance).at_chance is failed


def test_an_accuracy_that_cannot_be_wrong_is_said_so(chain: Callable[..., Chain]) -> None:
    learner = chain("icarl", epochs=5)
    first = learner.learn({0: pictures(0, 24)})
    assert first.metrics["accuracy"] == 1.0
    assert first.metrics["training_accuracy"] is None
    assert any("a single class" in warning for warning in first.warnings)
    second = learner.learn({1: pictures(1, 24)})
    assert not any("a single class" in warning for warning in second.warnings)
    assert second.metrics["measured_on"] == 20


def test_an_accuracy_on_few_images_says_so(chain: Callable[..., Chain]) -> None:
    learner = chain("icarl", epochs=10)
    data = learner.data(NEW)
    few = replace(data, held_out=data.held_out[:2], held_out_columns=data.held_out_columns[:2])
    result = learn(learner.spec, None, few, device="cpu")
    assert result.metrics["measured_on"] == 2
    # 50 / √2, the largest standard error of a share in points
    assert any("2 images" in said and "35 points" in said for said in result.warnings)
