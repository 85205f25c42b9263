"""Weights from a file of one's own: they start the network, or the file is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.errors import InvalidSpecError, LearningError
from models.methods import validate
from models.networks import WeightsUnavailableError, WeightsUnfitError, build, pretrained
from models.spec import Spec
from tests.models.conftest import Chain, task_images

METADATA = {"mean": "[0.1, 0.2, 0.3]", "std": "[0.5, 0.25, 1]"}


def write(folder: Path, backbone: str, metadata: dict[str, str] = METADATA, **other: Any) -> Any:
    """Write a network's weights, drawn with another seed than any test's, and return them."""
    published = build(backbone, 77).backbone.published.state_dict()
    tensors = {key: value.clone() for key, value in published.items()} | other
    tensors = {key: value for key, value in tensors.items() if value is not None}
    save_file(tensors, folder / "mine.safetensors", metadata)
    return tensors


@pytest.mark.parametrize("backbone", ["convnet", "resnet20", "squeezenet1_0", "mnasnet0_5"])
def test_a_file_starts_any_backbone(tmp_path: Path, backbone: str) -> None:
    written = write(tmp_path, backbone, **{"fc.weight": torch.ones(3, 3)})
    network = build(backbone, 1)
    mean, std = pretrained(network, backbone, "mine.safetensors", tmp_path)
    loaded = network.backbone.published.state_dict()
    assert loaded
    assert all(torch.equal(value, written[key]) for key, value in loaded.items())
    assert mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert std.tolist() == pytest.approx([0.5, 0.25, 1])


def test_a_step_starts_from_the_file_and_keeps_its_normalisation(tmp_path: Path) -> None:
    written = write(tmp_path, "convnet")
    spec = Spec(
        method="piggyback",
        options={"epochs": 1},
        backbone="convnet",
        weights="mine.safetensors",
        image_size=8,
    )
    state = Chain(validate(spec)).learn(task_images(0), weights_dir=tmp_path).state
    assert state.parts["preprocess"]["mean"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    backbone: dict[str, Tensor] = state.parts["backbone"]
    assert all(torch.equal(backbone[key], value) for key, value in written.items())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"convs.0.weight": None}, r"lacks convs\.0\.weight"),
        ({"convs.0.weight": torch.zeros(2, 3, 3, 3)}, r"another shape of convs\.0\.weight"),
        ({"convs.0.weight": torch.zeros(2, dtype=torch.int8)}, "another shape"),
        ({"norms.0.weight": torch.ones(32, dtype=torch.int8)}, r"whole numbers.* norms\.0\.weight"),
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_is_loaded(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    write(tmp_path, "convnet", **change)
    network = build("convnet", 1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(WeightsUnfitError, match=reason):
        pretrained(network, "convnet", "mine.safetensors", tmp_path)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    "metadata",
    [
        {"mean": "[0.5, 0.5, 0.5]"},
        {"mean": "[0.5, 0.5]", "std": "[1, 1, 1]"},
        {"mean": "[0.5, 0.5, 0.5]", "std": "[1, 0, 1]"},
        {"mean": "[0.5, NaN, 0.5]", "std": "[1, 1, 1]"},
        {"mean": "grey", "std": "[1, 1, 1]"},
        {"mean": "[123, 117, 104]", "std": "[58, 57, 57]"},
        {"mean": json.dumps({"r": 1}), "std": "[1, 1, 1]"},
    ],
)
def test_a_file_must_say_how_its_images_were_normalised(
    tmp_path: Path, metadata: dict[str, str]
) -> None:
    write(tmp_path, "convnet", metadata)
    with pytest.raises(WeightsUnfitError, match=r"metadata needs '(mean|std)'"):
        pretrained(build("convnet", 1), "convnet", "mine.safetensors", tmp_path)


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_text("no weights")
    with pytest.raises(WeightsUnfitError, match="not a safetensors file"):
        pretrained(build("convnet", 1), "convnet", "mine.safetensors", tmp_path)


@pytest.mark.parametrize("folder", [None, Path("/nowhere")])
def test_a_file_that_is_missing_says_where_it_was_looked_for(folder: Path | None) -> None:
    with pytest.raises(WeightsUnavailableError, match=r"no mine\.safetensors .*ACCRUE_WEIGHTS_DIR"):
        pretrained(build("convnet", 1), "convnet", "mine.safetensors", folder)


def test_the_errors_are_the_step_s(tmp_path: Path) -> None:
    spec = Spec(method="finetune", backbone="convnet", weights="mine.safetensors", image_size=8)
    chain = Chain(validate(spec))
    with pytest.raises(LearningError) as missing:
        chain.learn(task_images(0), weights_dir=tmp_path)
    assert missing.value.code == "weights-unavailable"
    (tmp_path / "mine.safetensors").write_text("no weights")
    with pytest.raises(LearningError) as unfit:
        chain.learn(task_images(0), weights_dir=tmp_path)
    assert unfit.value.code == "weights-unfit"


@pytest.mark.parametrize("name", ["../mine.safetensors", "/etc/mine.safetensors"])
def test_a_path_is_no_name(name: str) -> None:
    with pytest.raises(InvalidSpecError, match="not a file name") as refused:
        validate(Spec(method="finetune", weights=name))
    assert refused.value.pointer == "/weights"
