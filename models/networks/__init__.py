"""Backbones by name: ours, torchvision's, and those that other packages offer by entry point."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from models.networks import efficientnet_lite
from models.networks.convnet import ConvNet
from models.networks.efficientnet_lite import EfficientNetLite
from models.networks.network import Activations, Backbone, Features, Head, Network, batch_norms
from models.networks.packaged import PackagedWeights
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
    "installed",
    "is_backbone",
    "level_channels",
    "outline",
    "packaged",
    "pretrained",
]

T = TypeVar("T")

# Other packages offer a constructor without arguments under this group, by its backbone's name.
ENTRY_POINTS = "accrue.backbones"


@dataclass(frozen=True)
class _Registered:
    """A backbone but torchvision's: its package, its constructor and its published weights."""

    package: str
    make: Callable[[], Backbone]
    weights: Mapping[str, PackagedWeights] = field(default_factory=dict)


_OWN = {
    "convnet": _Registered("accrue", ConvNet),
    "resnet20": _Registered("accrue", lambda: CifarResNet(3)),
    "resnet32": _Registered("accrue", lambda: CifarResNet(5)),
    "efficientnet_lite0": _Registered("accrue", EfficientNetLite, efficientnet_lite.WEIGHTS_0),
    "efficientnet_lite2": _Registered(
        "accrue", lambda: EfficientNetLite(1.1, 1.2), efficientnet_lite.WEIGHTS_2
    ),
}


# Pixels of a side at which each of these shows all that it would show with larger images.
_ENOUGH = 64


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
def _registry() -> dict[str, _Registered]:
    """Return all backbones but torchvision's, by name."""
    found = dict(_OWN)
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name in found or entry.name in _zoo().names():
            raise ValueError(f"two backbones are named {entry.name!r}: {entry.value} is the second")
        found[entry.name] = _Registered(entry.module.partition(".")[0], entry.load())
    return found


def is_backbone(name: str) -> bool:
    """Say whether `build` takes a name. Torchvision is not asked about names of the others."""
    return name in _registry() or name in _zoo().names()


@cache
def describe_backbones() -> tuple[BackboneInfo, ...]:
    """Return all backbones that `build` takes, torchvision's last."""
    registered = [
        BackboneInfo(name, known.package, tuple(known.weights))
        for name, known in _registry().items()
    ]
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
            return Network(_registry()[name].make())
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
        _packaged(name, weights)
    else:
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
    if name in _registry():
        return list(_packaged(name, weights).load_into(backbone.published))
    record = _zoo().resolve_weights(name, weights)
    cast(Any, backbone).load_published(record, folder)
    return list(_zoo().normalisation(record))


def packaged(name: str) -> bool:
    """Say whether published weights of a backbone come in a package: nothing is downloaded."""
    return name in _registry() and bool(_registry()[name].weights)


def installed(folder: Path | None) -> list[tuple[str, str]]:
    """Return the backbones whose published weights are on this machine, each with their name.

    They are in packages, or are torchvision's files in `folder`. Nothing is downloaded.
    """
    in_packages = [
        (name, "DEFAULT")
        for name, known in _registry().items()
        if known.weights and _packaged(name, "DEFAULT").is_installed
    ]
    if folder is None or not folder.is_dir():
        return in_packages
    files = {path.name for path in folder.iterdir()}
    in_folder = [
        (name, present[0])
        for name in _zoo().names()
        if (present := _zoo().weights_among(name, files))
    ]
    return in_packages + in_folder


def _packaged(name: str, weights: str) -> PackagedWeights:
    """Return published weights of a backbone that is not torchvision's. Raises ValueError."""
    known = _registry()[name].weights
    if not known:
        raise ValueError(f"{name} has no published weights; a file of yours ends in {SUFFIX}")
    if weights == "DEFAULT":
        return next(iter(known.values()))
    if weights not in known:
        raise ValueError(f"{name} has no weights {weights!r}; it has {', '.join(known)} or DEFAULT")
    return known[weights]


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
    """Return a network to ask for its modules and shapes.

    Its tensors have no numbers (device ``meta``), except where the backbone is one of these here:
    arithmetic without numbers makes PyTorch import its compiler, of the size that `_zoo` tells of.
    """
    if name in _OWN:
        return build(name, 0)
    with _Shapes():
        network = build(name, 0)
    return network.to("meta")


@cache
def has_feature_map(name: str) -> bool:
    """Say whether a backbone has a feature map, from its outline."""
    return outline(name).backbone.has_map


@cache
def level_channels(name: str, image_size: int) -> tuple[int, ...]:
    """Return the channels of a backbone's levels, from its outline."""
    levels = _tried(name, image_size, lambda backbone, image: backbone.levels(image))
    return tuple(level.shape[1] for level in levels)


@cache
def accepts(name: str, image_size: int) -> bool:
    """Say whether a backbone takes square images of this size, from its outline."""
    try:
        _tried(name, image_size, lambda backbone, image: backbone(image))
    except (RuntimeError, AssertionError):  # torch's shape checks and the networks' own
        return False
    return True


def _tried(name: str, image_size: int, run: Callable[[Backbone, Tensor], T]) -> T:
    """Return what the outline of a backbone makes of an image [1, 3, S, S].

    Those here compute, and take all sizes above one that they take: a large image would cost
    seconds, and is made smaller.
    """
    own = name in _OWN
    size = min(image_size, _ENOUGH) if own else image_size
    backbone = outline(name).eval().backbone
    with torch.inference_mode(), torch.device("cpu" if own else "meta"):
        return run(backbone, torch.zeros(1, 3, size, size))
