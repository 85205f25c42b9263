"""The training phase of methods that train by stochastic gradient descent."""

from collections.abc import Iterable

import torch
from torch import nn

from models.batches import batch_size
from models.methods.base import Phase
from models.options import SGDOptions
from models.step import Step

# A pretrained backbone's share of the rate: at the head's, its features would be lost.
PRETRAINED_SHARE = 0.1
# Longer gradients end in divergence where batch norm does not hold activations in bounds.
MAX_GRAD_NORM = 5.0


def sgd_phase(
    options: SGDOptions,
    step: Step,
    parameters: Iterable[nn.Parameter],
    *,
    default_lr: float | None = None,
    default_norm: float = MAX_GRAD_NORM,
) -> Phase:
    """Return a training phase over the step's images that trains `parameters` by the options.

    Without `options.lr` the rate is `default_lr`, or by the batch size where that is None too, and
    `PRETRAINED_SHARE` of it for a backbone that started from pretrained weights; without
    `options.max_grad_norm` gradients are clipped at `default_norm`.
    """
    size = batch_size(options.batch_size, len(step.data))
    lr = options.lr or default_lr or 0.1 * (size / 128) ** 0.5
    optimizer = torch.optim.SGD(
        _groups(step, list(parameters), lr) if options.lr is None else parameters,
        lr=lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        fused=True,
    )
    return Phase(
        name="main",
        images=step.data,
        epochs=options.epochs,
        batch_size=size,
        optimizer=optimizer,
        milestones=options.milestones,
        lr_decay=options.lr_decay,
        max_grad_norm=options.max_grad_norm or default_norm,
    )


def _groups(step: Step, parameters: list[nn.Parameter], lr: float) -> list[dict[str, object]]:
    """Return the optimiser's groups, the backbone first; in all, the parameters in their order."""
    if step.spec.weights is None:
        return [{"params": parameters}]
    backbone = {id(each) for each in step.network.backbone.parameters()}
    body = [each for each in parameters if id(each) in backbone]
    head = [each for each in parameters if id(each) not in backbone]
    slow: dict[str, object] = {"params": body, "lr": PRETRAINED_SHARE * lr}
    fast: dict[str, object] = {"params": head}
    return [group for group in (slow, fast) if group["params"]]
