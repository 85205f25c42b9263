"""Any torchvision classification network as a backbone, by name, with its published weights."""

import warnings
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torchvision import models as zoo
from torchvision.models._api import WeightsEnum
from torchvision.models.feature_extraction import (
    NodePathTracer,
    _set_default_tracer_kwargs,
    create_feature_extractor,
)

from models.networks.network import Backbone

IMAGENET_CLASSES = 1000
# Both tracings, ours and torchvision's, must name the nodes alike. Torchvision completes what it is
# given, in place, so that it is completed here before either.
_TRACER = cast(dict[str, Any], _set_default_tracer_kwargs(None))
_POOLS = (functional.adaptive_avg_pool2d, torch.mean, "mean")


class WeightsUnavailableError(Exception):
    """Published weights could be neither found in a local folder nor downloaded."""


def names() -> list[str]:
    """Return the names of torchvision's classification networks."""
    return cast(list[str], zoo.list_models(module=zoo))


def weight_names(name: str) -> list[str]:
    """Return the names of a network's published weights."""
    return [weights.name for weights in zoo.get_model_weights(name)]


class TorchvisionBackbone(Backbone):
    """A torchvision network cut before its last linear layer (or 1×1 convolution)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        with warnings.catch_warnings():
            # Old networks announce that their default initialisation will change some day.
            warnings.simplefilter("ignore", FutureWarning)
            full = zoo.get_model(name, weights=None)
            _drop_auxiliary(full)
            self.features, self.pooled, training = _cut(full.train())
            _, _, serving = _cut(full.eval())
            self.has_map = "map" in training.values() or self.pooled
            # Two graphs: dropout and stochastic depth are traced as what the mode makes of them.
            self.body = create_feature_extractor(
                full,
                train_return_nodes=training,
                eval_return_nodes=serving,
                tracer_kwargs=_TRACER,
            )

    def forward(self, images: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return (feature_map or None, features [B, D])."""
        outputs = self.body(images)
        features: Tensor = outputs["features"]
        if features.ndim == 4:  # SqueezeNet classifies each position, then pools
            return features, features.mean(dim=(2, 3))
        return outputs.get("map"), features

    def load_published(self, weights: WeightsEnum, folder: Path | None) -> None:
        """Load published weights from `folder`, from torch's cache or by download.

        Raises WeightsUnavailableError naming where the file was looked for.
        """
        published = _published(weights, folder)
        wanted = self.body.state_dict()
        self.body.load_state_dict({key: published[key] for key in wanted})


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
    file_name = weights.url.rsplit("/", 1)[-1]
    if folder is not None and (folder / file_name).is_file():
        loaded = torch.load(folder / file_name, map_location="cpu", weights_only=True)
        return cast(dict[str, Any], loaded)
    try:
        return cast(dict[str, Any], weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise WeightsUnavailableError(
            f"the weights {weights} could not be downloaded ({error}): put {file_name} into the "
            f"folder that ACCRUE_WEIGHTS_DIR names (now {folder or 'unset'})"
        ) from error


def _drop_auxiliary(network: nn.Module) -> None:
    """Remove the auxiliary classifiers of the Inception family, which only its own loss uses."""
    for name in ("aux1", "aux2", "AuxLogits"):
        if hasattr(network, name):
            setattr(network, name, None)
    if hasattr(network, "aux_logits"):
        network.aux_logits = False  # type: ignore[assignment]


def _cut(network: nn.Module) -> tuple[int, bool, dict[str, str]]:
    """Find where the classifier is cut off.

    Returns D, whether the features are the pooled feature map as it is, and the names of the graph
    nodes that hold the features and the map.
    """
    tracer = NodePathTracer(**_TRACER)
    nodes = list(tracer.trace(network).nodes)
    modules: dict[Any, nn.Module] = dict(network.named_modules())
    layers = [modules.get(node.target) if node.op == "call_module" else None for node in nodes]
    last = max(place for place, layer in enumerate(layers) if _width(layer))
    pools = [
        place
        for place, node in enumerate(nodes[:last])
        if isinstance(layers[place], nn.AdaptiveAvgPool2d) or node.target in _POOLS
    ]
    names = cast(dict[fx.Node, str], tracer.node_to_qualname)
    features = cast(fx.Node, nodes[last].args[0])
    kept = {names[features]: "features"}
    if pools:
        kept[names[nodes[pools[-1]].args[0]]] = "map"
    # SqueezeNet's last convolution precedes its pooling; `forward` pools what it takes instead.
    pooled = isinstance(layers[last], nn.Conv2d)
    if pools and not pooled:
        by_node = dict(zip(nodes, layers, strict=True))
        while _flattens(features, by_node[features]):
            features = cast(fx.Node, features.args[0])
        pooled = features is nodes[pools[-1]]
    return _width(layers[last]), pooled, kept


def _flattens(node: fx.Node, layer: nn.Module | None) -> bool:
    return isinstance(layer, nn.Flatten) or node.target in (torch.flatten, "flatten")


def _width(layer: nn.Module | None) -> int:
    """Input dimension of a layer that could be the classifier, 0 for any other."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    if isinstance(layer, nn.Conv2d) and layer.out_channels == IMAGENET_CLASSES:
        return layer.in_channels
    return 0
