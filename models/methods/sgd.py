"""The training phase of methods that train by stochastic gradient descent."""

from collections.abc import Iterable

import torch
from torch import nn

from models.batches import ImageSet, batch_size
from models.methods.base import Phase
from models.options import SGDOptions


def sgd_phase(options: SGDOptions, images: ImageSet, parameters: Iterable[nn.Parameter]) -> Phase:
    """Return a training phase over `images` that trains `parameters` by the options' schedule."""
    size = batch_size(options.batch_size, len(images))
    optimizer = torch.optim.SGD(
        parameters,
        lr=options.lr or 0.1 * (size / 128) ** 0.5,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        fused=True,
    )
    return Phase(
        name="main",
        images=images,
        epochs=options.epochs,
        batch_size=size,
        optimizer=optimizer,
        milestones=options.milestones,
        lr_decay=options.lr_decay,
    )
