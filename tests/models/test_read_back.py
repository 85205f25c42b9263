"""What is stored of a version can be loaded again, and predicts the same."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models import evaluate
from models.checkpoint import Checkpoint
from models.edits import forget
from models.errors import LearningError
from models.measuring import CPU
from models.methods import describe_methods, validate
from models.networks import build, outline
from models.serving import check_read_back, load_servable
from models.spec import Augment, Spec
from models.state import State, Tensors, decode, encode, load_into
from models.step import Remaining, StepResult
from tests.models.backbones import ONE_OF_EACH_FAMILY_AT_FIRST
from tests.models.conftest import SIZE, Chain, pictures, task_images

METHODS = [method.name for method in describe_methods()]


def stored(result: StepResult) -> State:
    """The state as a later process reads it."""
    parts = {name: decode(encode(part)) for name, part in result.state.parts.items()}
    return State(parts, result.state.tasks)


def assert_reads_back(spec: Spec, result: StepResult) -> None:
    """Check that what is stored predicts the same as the trained network: on a CPU, to the bit."""
    check_read_back(spec, stored(result), result.sample)
    for (task, classify), expected in result.sample.log_scores.items():
        servable = load_servable(spec, stored(result), task=task, classify=classify)
        found = evaluate.predict(servable, result.sample.image, CPU).log_scores
        assert torch.equal(found, expected)


@ONE_OF_EACH_FAMILY_AT_FIRST
def test_every_backbone_takes_back_its_tensors(name: str) -> None:
    # Names and types go through storage, shapes do not: the largest networks have gigabytes.
    written = outline(name).to("meta").backbone.state_dict()
    read = decode(encode({key: torch.empty(0, dtype=each.dtype) for key, each in written.items()}))
    part: Tensors = {
        key: torch.empty(written[key].shape, dtype=each.dtype, device="meta")
        for key, each in read.items()
    }
    backbone = outline(name).to("meta").backbone
    load_into(backbone, part)
    assert {key: each.shape for key, each in backbone.state_dict().items()} == {
        key: each.shape for key, each in written.items()
    }


def test_tensors_of_another_network_are_not_taken() -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        load_into(build("resnet20", 0), build("convnet", 0).state_dict())


def test_mnasnet_learns_predicts_and_learns_again() -> None:
    def large(task: int) -> dict[int, Tensor]:
        """Images of which the network has a map of 4×4 positions."""
        return {column: one.repeat(1, 1, 16, 16) for column, one in task_images(task).items()}

    spec = Spec(
        method="finetune",
        options={"epochs": 2, "batch_size": 16, "lr": 1e-3},
        backbone="mnasnet0_5",
        image_size=16 * SIZE,
        augment=Augment(crop=0, flip=False),
    )
    chain = Chain(validate(spec))
    checkpoints: list[Checkpoint] = []
    for task in (0, 1):
        assert_reads_back(chain.spec, chain.learn(large(task), save=checkpoints.append))
    again = Chain(validate(spec)).learn(large(0), resume=checkpoints[0])
    assert torch.equal(
        again.sample.log_scores[None, "softmax"],
        chain.results[0].sample.log_scores[None, "softmax"],
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_restores_what_it_predicts_with(
    chain: Callable[..., Chain], method: str
) -> None:
    learner = chain(method)
    for task in (0, 1):
        assert_reads_back(learner.spec, learner.learn(task_images(task)))
    for held_out in (pictures(0, 2), torch.empty(0, 3, SIZE, SIZE, dtype=torch.uint8)):
        columns = torch.zeros(len(held_out), dtype=torch.int64)
        data = Remaining(held_out, columns, kept=(3, 3))
        result = forget(learner.spec, learner.results[-1].state, [2, 3], data, device="cpu")
        assert_reads_back(learner.spec, result)


def test_a_version_that_predicts_something_else_is_refused(chain: Callable[..., Chain]) -> None:
    learner = chain("icarl")
    result = learner.learn(task_images(0))
    state = stored(result)
    state.parts["head.0"]["bias"][0] += 1  # the nearest mean, the default, does not see it
    with pytest.raises(LearningError, match="other scores than before") as refused:
        check_read_back(learner.spec, state, result.sample)
    assert refused.value.code == "read-back-failed"
    state.parts["head.0"]["bias"][0] = torch.nan
    with pytest.raises(LearningError, match="no finite scores"):
        check_read_back(learner.spec, state, result.sample)
    with pytest.raises(RuntimeError, match="size mismatch"):
        check_read_back(
            learner.spec, dataclasses.replace(stored(result), tasks=(0, 0, 0)), result.sample
        )
