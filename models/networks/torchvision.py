"""Any torchvision classification network as a backbone, by name, with its published weights."""

import re
import warnings
from collections.abc import Collection
from pathlib import Path
from pickle import UnpicklingError
from threading import get_ident
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torchvision import models as zoo
from torchvision.models._api import WeightsEnum

from models.networks.levels import earlier_levels
from models.networks.network import Backbone, Features
from models.networks.weight_files import WeightsUnavailableError, WeightsUnfitError

IMAGENET_CLASSES = 1000

# "denselayer1.norm.1.weight" is "denselayer1.norm1.weight" today.
_DENSE_LAYER = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)")


class _Map(NamedTuple):
    """Where a family of networks has its feature map: a module's input, or its output (`made`).

    `alone`: the features are the mean of the map and nothing else, without dropout or a norm.
    """

    module: str
    made: bool = False
    alone: bool = False


# Vision transformers have no feature map, so they are not here.
_MAPS: dict[type[nn.Module], _Map] = {
    zoo.AlexNet: _Map("avgpool"),
    zoo.ConvNeXt: _Map("avgpool"),
    zoo.DenseNet: _Map("features", made=True, alone=True),
    zoo.EfficientNet: _Map("avgpool"),
    zoo.GoogLeNet: _Map("avgpool"),
    zoo.Inception3: _Map("avgpool"),
    zoo.MaxVit: _Map("classifier.0"),
    zoo.MNASNet: _Map("layers", made=True),
    zoo.MobileNetV2: _Map("features", made=True),
    zoo.MobileNetV3: _Map("avgpool"),
    zoo.RegNet: _Map("avgpool", alone=True),
    zoo.ResNet: _Map("avgpool", alone=True),
    zoo.ShuffleNetV2: _Map("conv5", made=True, alone=True),
    zoo.SqueezeNet: _Map("classifier.3", alone=True),
    zoo.SwinTransformer: _Map("avgpool", alone=True),
    zoo.VGG: _Map("avgpool"),
}


def names() -> list[str]:
    """Return the names of torchvision's classification networks."""
    return cast(list[str], zoo.list_models(module=zoo))


def weight_names(name: str) -> list[str]:
    """Return the names of a network's published weights."""
    return [weights.name for weights in zoo.get_model_weights(name)]


def weights_among(name: str, files: Collection[str]) -> list[str]:
    """Return the names of a network's published weights whose files are there, DEFAULT's first."""
    known = zoo.get_model_weights(name)
    present = [weights for weights in known if _file_name(weights) in files]
    return [w.name for w in sorted(present, key=lambda weights: weights is not known["DEFAULT"])]


class TorchvisionBackbone(Backbone):
    """A torchvision network without its classifier, the last layer for 1,000 classes."""

    def __init__(self, name: str) -> None:
        super().__init__()
        with warnings.catch_warnings():
            # Old networks warn that their default initialisation will change some day.
            warnings.simplefilter("ignore", FutureWarning)
            self.body: nn.Module = zoo.get_model(name, weights=None)
        _drop_auxiliary(self.body)
        self.feature_dim = _leave_out_classifier(self.body)
        # By thread, since several may predict with one network at a time.
        self._maps: dict[int, Tensor] = {}
        location = _MAPS.get(type(self.body))
        self.has_map = location is not None
        self.mean_pooled = location is not None and location.alone
        if location is not None:
            module = self.body.get_submodule(location.module)
            if location.made:
                module.register_forward_hook(self._take_output)
            else:
                module.register_forward_pre_hook(self._take_input)
        self._levels: dict[int, list[Tensor]] = {}
        for level in earlier_levels(self.body):
            self.body.get_submodule(level).register_forward_hook(self._take_level)

    def __getstate__(self) -> dict[str, Any]:
        # For copies, which are made while other threads predict: without what these have there.
        return {**self.__dict__, "_maps": {}, "_levels": {}}

    def forward(self, images: Tensor) -> Features:
        """Return the features of normalised images [B, 3, S, S]."""
        pooled: Tensor = self.body(images)
        return Features(self._maps.pop(get_ident(), None), pooled)

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return the maps [B, K, h, w] of several depths, the deepest last."""
        earlier = self._levels[get_ident()] = []
        try:
            deepest = super().levels(images)
        finally:
            del self._levels[get_ident()]
        return [*earlier, *deepest]

    def _take_level(self, _module: nn.Module, _inputs: tuple[Tensor, ...], made: Tensor) -> None:
        if (earlier := self._levels.get(get_ident())) is not None:
            earlier.append(made)

    def _take_input(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._maps[get_ident()] = inputs[0]

    def _take_output(self, _module: nn.Module, _inputs: tuple[Tensor, ...], made: Tensor) -> None:
        self._maps[get_ident()] = made

    @property
    def published(self) -> nn.Module:
        """Torchvision's network."""
        return self.body

    def load_published(self, weights: WeightsEnum, folder: Path | None) -> None:
        """Load published weights from `folder`, from torch's cache or by download.

        Raises WeightsUnavailableError, which names the places searched, and WeightsUnfitError for a
        file that holds more than tensors, or not those of the network.
        """
        published = _published(weights, folder)
        try:
            # With the versions that the file has, by which loaders convert older tensors. It also
            # has the classifiers, which are left out here.
            missing, _ = self.body.load_state_dict(_renamed(published), strict=False)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise WeightsUnfitError(f"{weights} do not fit the backbone: {error}") from error
        if missing:
            raise WeightsUnfitError(f"{weights} do not fit the backbone: they lack {missing[0]}")


def resolve_weights(name: str, weights: str) -> WeightsEnum:
    """Return torchvision's record of published weights. Raises ValueError for an unknown name."""
    known = zoo.get_model_weights(name)
    try:
        return cast(WeightsEnum, known[weights])
    except KeyError:
        raise ValueError(
            f"{name} has no weights {weights!r}; it has {', '.join(weight_names(name))} or DEFAULT"
        ) from None


def normalisation(weights: WeightsEnum) -> tuple[Tensor, Tensor]:
    """Return the mean and deviation [3] the weights were trained with."""
    transforms = weights.transforms()
    return torch.tensor(transforms.mean), torch.tensor(transforms.std)


def _published(weights: WeightsEnum, folder: Path | None) -> dict[str, Any]:
    file_name = _file_name(weights)
    try:
        # Torchvision publishes pickles, and by default loads them so that code in them runs. Only
        # tensors are read here: others may be able to write to its cache.
        if folder is not None and (folder / file_name).is_file():
            loaded = torch.load(folder / file_name, map_location="cpu", weights_only=True)
        else:
            loaded = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except UnpicklingError as error:
        raise WeightsUnfitError(f"the file {file_name} holds more than tensors") from error
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailableError(
            f"the weights {weights} could not be downloaded ({error}), and there is no "
            f"{file_name} in the folder that ACCRUE_WEIGHTS_DIR names ({folder or 'unset'})"
        ) from error
    return cast(dict[str, Any], loaded)


def _file_name(weights: WeightsEnum) -> str:
    url: str = weights.url
    return url.rsplit("/", 1)[-1]


def _renamed(published: dict[str, Any]) -> dict[str, Any]:
    """Rename, in place, DenseNet's layers: published files have the names that Torch 0.3 gave."""
    for key in list(published):
        if (new := _DENSE_LAYER.sub(r"\1\2", key)) != key:
            published[new] = published.pop(key)
    return published


def _drop_auxiliary(network: nn.Module) -> None:
    """Remove the auxiliary classifiers of the Inception family: only its own loss uses them."""
    for name in ("aux1", "aux2", "AuxLogits"):
        if hasattr(network, name):
            setattr(network, name, None)
    if hasattr(network, "aux_logits"):
        network.aux_logits = False  # type: ignore[assignment]


def _leave_out_classifier(network: nn.Module) -> int:
    """Replace the last layer for 1,000 classes by the identity. Return its input dimension D."""
    name, layer = [
        (name, module)
        for name, module in network.named_modules()
        if getattr(module, "out_features", None) == IMAGENET_CLASSES
        or getattr(module, "out_channels", None) == IMAGENET_CLASSES
    ][-1]
    network.set_submodule(name, nn.Identity())
    # SqueezeNet's is a convolution before the pooling, which then averages the layer's input.
    return int(layer.in_channels if isinstance(layer, nn.Conv2d) else layer.in_features)
