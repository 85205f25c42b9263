"""Backbones by name: ours, torchvision's, and those that other packages offer by entry point."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from models.networks.convnet import ConvNet
from models.networks.network import Activations, Backbone, Features, Head, Network, batch_norms
from models.networks.resnet import CifarResNet
from models.networks.weight_files import (
    SUFFIX,
    WeightsUnavailableError,
    WeightsUnfitError,
    load_file,
)
from models.seeds import derive

__all__ = [
    "Activations",
    "Backbone",
    "BackboneInfo",
    "Features",
    "Head",
    "Network",
    "WeightsUnavailableError",
    "WeightsUnfitError",
    "batch_norms",
    "build",
    "check_weights",
    "describe_backbones",
    "has_feature_map",
    "outline",
    "pretrained",
]

# Other packages offer a constructor without arguments under this group, by its backbone's name.
ENTRY_POINTS = "accrue.backbones"

_OWN: dict[str, Callable[[], Backbone]] = {
    "convnet": ConvNet,
    "resnet20": lambda: CifarResNet(3),
    "resnet32": lambda: CifarResNet(5),
}


@dataclass(frozen=True)
class BackboneInfo:
    """A backbone that can be named: the package it comes from, and its published weights."""

    name: str
    source: str
    weights: tuple[str, ...]


def _zoo() -> ModuleType:
    """Return the module of torchvision's backbones.

    Imported at first use: with all that torchvision imports, it takes 170 MB of memory, which a
    server of other backbones does without.
    """
    from models.networks import torchvision  # noqa: PLC0415

    return torchvision


@cache
def _registry() -> dict[str, tuple[str, Callable[[], Backbone]]]:
    """Return the package and the constructor of all backbones but torchvision's, by name."""
    found = {name: ("accrue", make) for name, make in _OWN.items()}
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name in found or entry.name in _zoo().names():
            raise ValueError(f"two backbones are named {entry.name!r}: {entry.value} is the second")
        found[entry.name] = entry.module.partition(".")[0], entry.load()
    return found


@cache
def describe_backbones() -> tuple[BackboneInfo, ...]:
    """Return all backbones that `build` takes, torchvision's last."""
    registered = [BackboneInfo(name, package, ()) for name, (package, _) in _registry().items()]
    others = [
        BackboneInfo(name, "torchvision", tuple(_zoo().weight_names(name)))
        for name in _zoo().names()
    ]
    return tuple(registered + others)


def build(name: str, seed: int) -> Network:
    """Return a freshly initialised network with an empty head.

    Raises ValueError for an unknown backbone.
    """
    # Initialisers draw from the global generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "initialisation"))
        if name in _registry():
            return Network(_registry()[name][1]())
        if name in _zoo().names():
            return Network(_zoo().TorchvisionBackbone(name))
    raise ValueError(f"unknown backbone {name!r}")


def check_weights(name: str, weights: str) -> None:
    """Raise ValueError where a backbone cannot have weights of that name; opens no file."""
    if weights.endswith(SUFFIX):
        if Path(weights).name != weights:
            raise ValueError(
                f"{weights!r} is not a file name: give the name of a file in the folder that "
                "ACCRUE_WEIGHTS_DIR names, without a path"
            )
        return
    if name in _registry():
        raise ValueError(f"{name} has no published weights; a file of yours ends in {SUFFIX}")
    _zoo().resolve_weights(name, weights)


def pretrained(network: Network, name: str, weights: str, folder: Path | None) -> list[Tensor]:
    """Load published weights, or those of a file in `folder`, into a network that `build` made.

    Returns the mean and deviation [3] that go with them. Raises ValueError where the backbone has
    no such weights, WeightsUnavailableError where they are not found and WeightsUnfitError where
    the file does not fit the network.
    """
    backbone = network.backbone
    if weights.endswith(SUFFIX):
        return list(load_file(backbone.published, folder, weights))
    if not isinstance(backbone, _zoo().TorchvisionBackbone):
        raise ValueError(f"{name} has no published weights")
    record = _zoo().resolve_weights(name, weights)
    backbone.load_published(record, folder)
    return list(_zoo().normalisation(record))


class _Shapes(TorchFunctionMode):
    """Makes weights without memory, but not the numbers that constructors compute with (RegNet)."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func in (torch.empty, torch.zeros, torch.ones) and given.get("device") is None:
            given["device"] = "meta"
        return func(*args, **given)


def outline(name: str) -> Network:
    """Return a network whose tensors have shapes and no numbers (device ``meta``)."""
    with _Shapes():
        network = build(name, 0)
    return network.to("meta")


@cache
def has_feature_map(name: str) -> bool:
    """Say whether a backbone has a feature map, from its outline."""
    return outline(name).backbone.has_map


@cache
def accepts(name: str, image_size: int) -> bool:
    """Say whether a backbone takes square images of this size, from its outline."""
    network = outline(name).eval()
    with torch.device("meta"):
        try:
            network.backbone(torch.empty(1, 3, image_size, image_size))
        except (RuntimeError, AssertionError):  # torch's shape checks and the networks' own
            return False
    return True
