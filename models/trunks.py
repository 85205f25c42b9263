"""A module that predicts, in two: trunks that a faster engine may run, and the tail.

A trunk is the convolutions, which are nearly all of the arithmetic. The tail is pooling, head,
distances and calibration. It stays PyTorch's float32, whatever runs the trunks: distances suffer
most from numbers of few digits, and cost least.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.classify import Servable
from models.networks import Backbone, Features, Network
from models.preprocess import Preprocess

# Takes uint8 images [B, 3, S, S], and returns what the trunk does.
Runner = Callable[[Tensor], Sequence[Tensor]]


class Trunk(nn.Module):
    """Preprocessing and a backbone's trunk; `precision` is that of the backbone's tensors."""

    def __init__(
        self, preprocess: Preprocess, backbone: Backbone, precision: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.backbone = backbone
        self.precision = precision

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return float32 tensors of uint8 images [B, 3, S, S]: see `Backbone.trunk`."""
        normalised = self.preprocess(images).to(self.precision)
        return tuple(made.float() for made in self.backbone.trunk(normalised))


# Returns what runs a trunk.
Compile = Callable[[Trunk], Runner]


def as_it_is(trunk: Trunk) -> Runner:
    """Return the trunk: PyTorch runs it, module by module."""
    return trunk


class NotDivisibleError(Exception):
    """A module that predicts is not one of trunks and a tail."""


def trunks(servable: Servable) -> list[Trunk]:
    """Return the trunk of each network that the module runs; most have one, routers several.

    They share the module's tensors. Raises NotDivisibleError.
    """
    preprocessings = [each for each in servable.modules() if isinstance(each, Preprocess)]
    if preprocessings != [servable.preprocess]:
        raise NotDivisibleError("its images are preprocessed in several ways")
    # In order and once each: networks may share a backbone.
    backbones = {id(each): each for each in _backbones(servable)}
    return [Trunk(servable.preprocess, each).eval() for each in backbones.values()]


def with_runners(servable: Servable, parts: Sequence[Trunk], runners: Sequence[Runner]) -> Servable:
    """Return a module with the same tail, in which each runner takes the place of a trunk.

    It shares the tensors of the tail and refers to none of the trunks'.
    """
    replaced: dict[int, Any] = {id(servable.preprocess): nn.Identity()}
    for trunk, runner in zip(parts, runners, strict=True):
        replaced[id(trunk.backbone)] = _Run(runner, trunk.backbone)
    # A copy takes from here what it would else copy.
    shared = {id(tensor): tensor for tensor in (*servable.parameters(), *servable.buffers())}
    return copy.deepcopy(servable, {**shared, **replaced})


def sharing(servables: Sequence[Servable], compile_trunk: Compile = as_it_is) -> list[Servable]:
    """Return modules that predict the same, and run a trunk of several once for the same images.

    What runs it is what `compile_trunk` returns. A module that cannot be divided is returned as it
    is.
    """
    once: dict[tuple[int, int], _Once] = {}
    shared = []
    for servable in servables:
        try:
            parts = trunks(servable)
        except NotDivisibleError:
            shared.append(servable)
            continue
        runners = []
        for part in parts:
            key = id(part.preprocess), id(part.backbone)
            if key not in once:
                once[key] = _Once(compile_trunk(part))
            runners.append(once[key])
        shared.append(with_runners(servable, parts, runners))
    return shared


class _Once:
    """Runs a trunk, and remembers what it made of the images before."""

    def __init__(self, runner: Runner) -> None:
        self._run = runner
        self._images: Tensor | None = None
        self._made: Sequence[Tensor] = ()

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        if images is not self._images:
            self._made, self._images = self._run(images), images
        return self._made


class _Run(Backbone):
    """In a backbone's place: what a runner makes of uint8 images, and the backbone's tail."""

    def __init__(self, runner: Runner, backbone: Backbone) -> None:
        super().__init__()
        self.runner = runner
        self.to_features = backbone.tail()
        self.feature_dim = backbone.feature_dim

    def forward(self, images: Tensor) -> Features:
        """Return no map, and the features [B, D] of uint8 images [B, 3, S, S]."""
        return Features(None, self.to_features(self.runner(images)))


def _backbones(servable: Servable) -> list[Backbone]:
    return [each.backbone for each in servable.modules() if isinstance(each, Network)]
