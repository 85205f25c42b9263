"""An optimizer step asks for nothing that would wait for the device."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch._dynamo  # optimisers import it at their first step, and it makes tensors
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models import methods
from models.learner import learn
from models.spec import Augment
from models.trainer import Trainer
from tests.models.conftest import Chain, task_images

# Those with an optimizer step.
TRAINED = [method.name for method in methods.describe_methods() if method.name != "analytic"]
# What has to know values, or makes a tensor of Python's values, which a copy to a GPU waits for.
WAITING = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::unique_dim",
    "aten::_unique2",
    "aten::bincount",
    "aten::masked_select",
    "aten::lift_fresh",
}
SELECTING = {"aten::index", "aten::index_put", "aten::index_put_"}


class Waits(TorchDispatchMode):
    """Collects the operations that would wait for a GPU, as far as a CPU's show it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func._schema.name
        # How many rows a boolean selects is not known before.
        by_boolean = name in SELECTING and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1]
        )
        if name in WAITING or by_boolean:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What all optimizer steps wait for."""
    found: list[str] = []
    original = Trainer._train_on

    def watched(*given: Any) -> Tensor:
        with Waits() as waits:
            loss = original(*given)
        found.extend(waits.found)
        return loss

    monkeypatch.setattr(Trainer, "_train_on", watched)
    yield found


def test_the_watch_sees_what_waits() -> None:
    values = torch.arange(4)
    with Waits() as waits:
        _ = values[values > 1]
        values.index_put_((values > 2,), values[:1])
        float(values.sum())
        values.new_tensor([1, 2])
        values.nonzero()
        _ = values[torch.stack([values[1], values[2]])] + values.index_select(0, values[:1])
    assert waits.found == [
        "aten::index",
        "aten::index_put_",
        "aten::_local_scalar_dense",
        "aten::lift_fresh",
        "aten::nonzero",
    ]


@pytest.mark.parametrize("method", TRAINED)
def test_no_method_waits_in_a_step(
    chain: Callable[..., Chain], steps: list[str], method: str
) -> None:
    learner = chain(method)
    for task in range(2):
        learner.learn(task_images(task))
    assert steps == []


def test_the_regularizer_does_not_wait(chain: Callable[..., Chain], steps: list[str]) -> None:
    spec = chain("replay").spec.model_copy(update={"regularizer": {"name": "cs_kd"}})
    learner = Chain(spec)
    for task in range(2):
        learner.learn(task_images(task))
    assert steps == []


@contextmanager
def refusing_to_wait() -> Iterator[None]:
    """Raise where the host waits for the GPU."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("policy", ["none", "auto"])
@pytest.mark.parametrize("method", TRAINED)
def test_no_step_waits_for_the_gpu(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch, method: str, policy: str
) -> None:
    learner = chain(method)
    learner.spec = learner.spec.model_copy(update={"augment": Augment(crop=1, policy=policy)})
    for task in range(2):
        data = learner.data(task_images(task))
        learner.learn(task_images(task))
        base = learner.results[-2].state if task else None
        original = Trainer._train_on
        calls = []

        def watched(*given: Any, original: Any = original, calls: list[int] = calls) -> Tensor:
            calls.append(1)
            if len(calls) == 1:  # libraries are loaded by the first
                return original(*given)
            with refusing_to_wait():
                return original(*given)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_train_on", watched)
            learn(learner.spec, base, data, device="cuda")
        assert len(calls) > 1
