"""Where a network looks: a heat map of what speaks for an answer, by Grad-CAM.

Grad-CAM (Selvaraju et al., ICCV 2017) weighs the channels of the feature map by the gradient of a
score. The score is what speaks for the answer against the mean of the other classes::

    log p_c − mean over j ≠ c of log p_j

in scores before calibration. For a softmax that is the answer's logit less the mean of the others',
so that it has a gradient where p_c is 1 to all digits, and whichever way to classify made it.
"""

import copy
from typing import Any

import torch
from torch import Tensor

from models.attention import grad_cam
from models.calibrated import bare
from models.classify import Servable
from models.networks import Backbone, Features


class NoFeatureMapError(Exception):
    """The backbone has no feature map, such as a vision transformer: there are no positions."""


class Watched:
    """A module that predicts, with its feature maps in sight. Shares its tensors."""

    def __init__(self, servable: Servable) -> None:
        """Raise NoFeatureMapError where the backbone has none."""
        servable = bare(servable)
        backbones = [
            each for each in servable.modules() if isinstance(each, Backbone) and each.has_map
        ]
        if not backbones:
            raise NoFeatureMapError
        self._servable, self._backbones = servable, backbones
        self._device = servable.preprocess.mean.device

    def heat_map(self, image: Tensor, answer: int, considered: Tensor) -> Tensor:
        """Return where a uint8 image [3, S, S] speaks for a column, [h, w] from 0 to 1.

        `considered` [C] are the columns that it competed with. Where there is no other, it is where
        the map is most active. It is 0 everywhere if nothing speaks for the answer.
        """
        seen: list[Tensor] = []
        shared = (*self._servable.parameters(), *self._servable.buffers())
        memo: dict[int, Any] = {id(tensor): tensor for tensor in shared}
        memo |= {id(each): _Watching(each, seen) for each in self._backbones}
        # A copy for each call, since several threads may explain at a time.
        servable = copy.deepcopy(self._servable, memo)
        with torch.enable_grad():
            logs = servable(image[None].to(self._device)).log_scores[0]
            # The last: before it, a router may have run the network for its choice alone.
            feature_map = seen[-1]
            others = considered.to(self._device) & logs.isfinite()
            others[answer] = False
            if bool(others.any()):
                evidence = logs[answer] - logs[others].mean()
                heat = grad_cam(feature_map, evidence[None])[0]
            else:
                heat = feature_map.detach()[0].square().sum(dim=0)
        heat = heat.detach().cpu()
        return heat / heat.max().clamp_min(torch.finfo(heat.dtype).tiny)


class _Watching(Backbone):
    """In a backbone's place: keeps the maps that it makes, with their gradients."""

    def __init__(self, backbone: Backbone, seen: list[Tensor]) -> None:
        super().__init__()
        self.backbone = backbone
        self.feature_dim = backbone.feature_dim
        self._seen = seen

    def forward(self, images: Tensor) -> Features:
        """Return what the backbone does of normalised images [B, 3, S, S]."""
        features: Features = self.backbone(images.detach().requires_grad_())
        if features.map is not None:
            self._seen.append(features.map)
        return features

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return what the backbone does of normalised images, the deepest last."""
        levels = self.backbone.levels(images.detach().requires_grad_())
        self._seen.append(levels[-1])
        return levels
