"""Which images look alike to a network: those whose features point the same way."""

import torch
from torch import Tensor
from torch.nn import functional

from models.calibrated import bare
from models.classify import Servable
from models.networks import Backbone


class Embedding:
    """Makes unit features of images by a servable's backbone, whose tensors it shares.

    The product of two is their cosine similarity, from -1 to 1.
    """

    def __init__(self, servable: Servable) -> None:
        self._preprocess = servable.preprocess
        # Where a router chooses among networks, the last one; name a task to choose it yourself.
        self._backbone = [each for each in bare(servable).modules() if isinstance(each, Backbone)][
            -1
        ]

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Return unit features [B, D] of uint8 images [B, 3, S, S]."""
        images = images.to(self._preprocess.mean.device)
        features: Tensor = self._backbone(self._preprocess(images)).pooled
        return functional.normalize(features.float()).cpu()
