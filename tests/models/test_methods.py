"""The registry, validation, and the two bounds."""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import torch
from pydantic import ValidationError

import models.methods as registry
from models.errors import InvalidSpecError, LearningError
from models.learner import learn, restore
from models.methods import describe_methods, needs, validate
from models.methods.finetune import Finetune
from models.serving import load_servable
from models.spec import Budget, Spec
from models.state import State, clone

from .conftest import Chain, pictures, task_images


def test_numbers_that_json_cannot_hold_are_refused() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Spec.model_validate({"options": {"lr": float("nan")}})


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        ({"method": "magic"}, "/method", "icarl"),
        ({"options": {"epoch": 3}}, "/options/epoch", "milestones"),
        ({"options": {"epochs": 0}}, "/options/epochs", "greater than or equal to 1"),
        ({"options": {"milestones": [0.5, 1.5]}}, "/options/milestones/1", "less than 1"),
        ({"options": {"epochs": "3"}}, "/options/epochs", "valid integer"),
        ({"options": {"epochs": 3.0}}, "/options/epochs", "valid integer"),
        ({"options": {"lr": True}}, "/options/lr", "valid number"),
        ({"options": {"milestones": ["0.5"]}}, "/options/milestones/0", "valid number"),
        ({"options": {"loss": "hinge"}}, "/options/loss", "bce"),
        ({"backbone": "resnet33"}, "/backbone", "/v1/backbones"),
        ({"weights": "DEFAULT"}, "/weights", "no published weights"),
        ({"backbone": "resnet18", "weights": "V9"}, "/weights", "IMAGENET1K_V1"),
        ({"backbone": "alexnet", "image_size": 32}, "/image_size", "alexnet"),
        ({"backbone": "vit_b_16", "image_size": 32}, "/image_size", "vit_b_16"),
        ({"regularizer": {"name": "cs_kd"}}, "/regularizer", "icarl"),
    ],
)
def test_what_is_wrong_is_pointed_at(change: dict[str, Any], pointer: str, words: str) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        validate(Spec(**change))
    assert refused.value.pointer == pointer
    assert words in refused.value.detail


def test_defaults_are_filled_in() -> None:
    spec = validate(Spec(options={"epochs": 5}))
    assert spec.options["epochs"] == 5
    assert spec.options["weight_decay"] == 2e-3
    assert validate(spec) == spec


def test_the_default_spec_is_valid() -> None:
    assert validate(Spec()).method == "icarl"


def test_every_method_is_described() -> None:
    found = {info.name: info for info in describe_methods()}
    assert {"icarl", "finetune", "joint"} <= set(found)
    for info in found.values():
        assert info.summary.endswith(".")
        assert info.paper
        epochs = info.options["properties"].get("epochs")
        # analytic trains nothing.
        assert info.name == "analytic" if epochs is None else epochs["default"] >= 20
    assert found["icarl"].classify == ("nearest_mean", "softmax", "discriminant")
    assert found["replay"].classify == ("softmax", "discriminant", "nearest_mean")
    assert needs("joint").all_images
    assert not needs("finetune").exemplars


class Theirs(Finetune):
    name = "theirs"


def test_other_packages_bring_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("theirs", f"{__name__}:Theirs", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda **_: [entry])
    registry._registry.cache_clear()
    try:
        assert registry.get("theirs") is Theirs
        assert validate(Spec(method="theirs")).options["epochs"] == 70
    finally:
        registry._registry.cache_clear()


@pytest.mark.parametrize(
    "method",
    ["icarl", "replay", "lwf", "lwm", "mas", "piggyback", "packnet", "cs_kd", "finetune", "joint"],
)
def test_a_method_is_where_its_network_is(chain: Callable[..., Chain], method: str) -> None:
    """Nothing stays behind when the learner chooses a device, and the method names none."""
    device = torch.device("meta")
    learner = chain(method)
    for number in range(2):
        learner.learn(task_images(number))
    state = learner.results[-1].state
    restored = restore(learner.spec, state, device)
    tensors = [tensor for part in restored.state().values() for tensor in part.values()]
    assert {tensor.device for tensor in tensors} == {device}
    # A router needs numbers, which tensors of this device have not.
    task = 1 if restored.needs.task_id else None
    servable = load_servable(learner.spec, state, task=task, device="meta")
    assert servable(pictures(0, 2).to(device)).log_scores.device == device


def test_finetune_keeps_no_image_and_joint_all(chain: Callable[..., Chain]) -> None:
    finetune, joint = chain("finetune"), chain("joint", exemplars=1)
    for column in range(2):
        finetune.learn({column: pictures(column, 20)})
        joint.learn({column: pictures(column, 20)})
    assert finetune.results[-1].kept == (0, 0)
    assert finetune.results[-1].rankings == {}
    assert joint.results[-1].kept == (20, 20)
    assert torch.equal(joint.memory[0], pictures(0, 20))


def test_joint_starts_anew(chain: Callable[..., Chain]) -> None:
    """Whatever the network had learnt before, joint ends where the images lead it."""
    learner = chain("joint")
    learner.learn({0: pictures(0, 20), 1: pictures(1, 20)})
    base = learner.results[0].state
    other = State({name: clone(part) for name, part in base.parts.items()}, base.tasks)
    for part in ("backbone", "head.0"):
        for tensor in other.parts[part].values():
            if tensor.is_floating_point():
                tensor.mul_(1.5)
    data = learner.data({2: pictures(2, 20)})
    ends = [learn(learner.spec, start, data, device="cpu").state for start in (base, other)]
    for part, tensors in ends[0].parts.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, ends[1].parts[part][name]), f"{part} {name}"


def test_megabytes_without_room_are_refused(chain: Callable[..., Chain]) -> None:
    learner = chain("icarl")
    learner.spec = learner.spec.model_copy(update={"memory": Budget(megabytes=0.00015)})
    with pytest.raises(LearningError, match="megabytes"):
        learner.learn({0: pictures(0, 5), 1: pictures(1, 5)})


def test_nothing_to_train_on(chain: Callable[..., Chain]) -> None:
    with pytest.raises(LearningError) as refused:
        chain("finetune").learn({0: pictures(0, 0)})
    assert refused.value.code == "no-training-images"


def test_fixed_options_are_options() -> None:
    described = {method.name: method for method in describe_methods()}
    assert described["analytic"].fixed == ("dimensions", "grid", "forgettable")
    for method in described.values():
        assert set(method.fixed) <= set(method.options.get("properties", {}))
