"""Trainings that used to diverge or to end at chance, with default options but fewer epochs."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks import datasets, squeezenet
from models.learner import learn
from models.methods import validate
from models.spec import Augment, Spec
from models.step import StepData

from .conftest import Chain


def digits(label: int, count: int) -> Tensor:
    """uint8 [count, 3, 8, 8]: the first digits of a label."""
    from sklearn.datasets import load_digits  # slow to load

    read = load_digits()
    grey = torch.from_numpy(read.images[read.target == label][:count] * 255 / 16)
    return grey.to(torch.uint8)[:, None].expand(-1, 3, 8, 8).contiguous()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mas", "packnet"])
@pytest.mark.parametrize("first", ["one class", "one image a class"])
def test_a_first_task_of_little_does_not_spoil_the_second(
    chain: Callable[..., Chain], method: str, first: str
) -> None:
    """Its batch norm, frozen, has statistics of a network that has learnt next to nothing."""
    learner = chain(method, epochs=10, lr=None, batch_size=32)
    learner.spec = learner.spec.model_copy(
        update={"backbone": "resnet20", "augment": Augment(flip=False)}
    )
    if first == "one class":
        learner.learn({0: digits(0, 20)})
    else:
        learner.learn({0: digits(0, 1), 1: digits(1, 1)})
    known = len(learner.tasks)
    second = learner.learn({column: digits(column, 20) for column in range(known, known + 3)})
    assert second.metrics["training_accuracy"] > 0.8
    assert not any("chance" in warning for warning in second.warnings)


def two_classes() -> Tensor:
    """17 images of each of two digits, uint8 [34, 3, 8, 8]."""
    return torch.cat([digits(0, 17), digits(1, 17)])


def losses(spec: Spec, images: Tensor) -> list[float]:
    """Learn `two_classes`, in whichever size, and return the losses that are reported."""
    data = StepData(
        images=images,
        columns=torch.arange(34) // 17,
        sizes=torch.full((34,), 100),
        fresh=torch.ones(34, dtype=torch.bool),
        held_out=images[:0],
        held_out_columns=torch.zeros(0, dtype=torch.long),
        tasks=(0, 0),
    )
    found: list[float] = []
    learn(
        validate(spec), None, data, device="cpu", report=lambda told: found.append(told.loss or 0)
    )
    return found


def test_two_images_over_a_batch_do_not_make_a_training_diverge() -> None:
    """At 32 pixels the last map of MobileNetV2 is 1×1: batch norm over two images is a sign."""
    torch.set_num_threads(1)
    images = two_classes()
    images = images.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    options = {"epochs": 4, "batch_size": 32, "max_grad_norm": 1e9}
    spec = Spec(method="finetune", backbone="mobilenet_v2", options=options)
    assert max(losses(spec, images)) < 10


def test_maps_smaller_than_the_kernel_do_not_make_a_training_diverge() -> None:
    """At 8 pixels: gradients of weights that meet only padding were what was in the memory."""
    torch.set_num_threads(1)
    spec = Spec(method="finetune", backbone="regnet_x_400mf", image_size=8, options={"epochs": 6})
    assert max(losses(spec, two_classes())) < 10


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with SqueezeNet's weights from ImageNet."""
    if "ACCRUE_DATASETS" not in os.environ:
        pytest.skip("set ACCRUE_DATASETS to the folder of the data sets to test on real weights")
    folder = tmp_path_factory.mktemp("weights")
    metadata = {
        "mean": json.dumps([value / 255 for value in squeezenet.MEAN]),
        "std": json.dumps([squeezenet.PIXEL_UNIT / 255] * 3),
    }
    source = datasets.home() / squeezenet.SOURCE
    save_file(squeezenet.convert(source), folder / squeezenet.TARGET, metadata)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["finetune", "icarl", "replay", "joint", "lwf", "lwm", "mas", "cs_kd"]
)
def test_defaults_learn_on_pretrained_weights_without_batch_norm(
    imagenet: Path, method: str
) -> None:
    torch.set_num_threads(1)
    train, labels, *_ = datasets.load_module().load("caltech101")
    images = torch.cat(
        [torch.from_numpy(train[labels == label][:12]).permute(0, 3, 1, 2) for label in range(4)]
    )
    data = StepData(
        images=images,
        columns=torch.arange(48) // 12,
        sizes=torch.full((48,), 100),
        fresh=torch.ones(48, dtype=torch.bool),
        held_out=images[:0],
        held_out_columns=torch.zeros(0, dtype=torch.long),
        tasks=(0,) * 4,
    )
    spec = Spec(
        method=method,
        backbone="squeezenet1_0",
        weights=squeezenet.TARGET,
        image_size=64,
        options={"epochs": 6},
    )
    result = learn(validate(spec), None, data, device="cpu", weights_dir=imagenet)
    assert result.metrics["training_accuracy"] > 0.5
