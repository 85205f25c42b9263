"""The training phase of methods that train by stochastic gradient descent."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from models.batches import batch_size
from models.early_stopping import EarlyStopping
from models.methods.base import Phase
from models.networks import batch_norms
from models.options import SGDOptions
from models.schedules import Cosine, OneCycle, Schedule, Steps
from models.step import Step

# A pretrained backbone's share of the rate: at the head's, its features would be lost.
PRETRAINED_SHARE = 0.1
# The share of training over which the rate rises where the backbone is pretrained: the first
# gradients come through a head that was drawn at random.
PRETRAINED_WARM_UP = 0.05
# Over batches up to this size, batch norm's statistics are worse than those of the pretraining.
SMALL_BATCH = 32
# Longer gradients end in divergence where batch norm does not hold activations in bounds.
MAX_GRAD_NORM = 5.0
# AdamW's steps do not grow with the gradients, so that one rate suits every loss.
ADAMW_LR = 3e-3
# Where the held-out images decide when to stop: the most epochs, and for how many of them the
# accuracy may not rise before the rate falls.
MAX_EPOCHS = 200
PATIENCE = 10


def sgd_phase(
    options: SGDOptions,
    step: Step,
    parameters: Iterable[nn.Parameter],
    *,
    default_lr: float | None = None,
    default_norm: float = MAX_GRAD_NORM,
    own_recipe: bool = False,
) -> Phase:
    """Return a training phase over the step's images that trains `parameters` by the options.

    Without `options.lr` the rate is `default_lr`, or by the batch size where that is None too, and
    with AdamW `ADAMW_LR`; without `options.max_grad_norm` gradients are clipped at `default_norm`.

    A backbone that started from pretrained weights has `PRETRAINED_SHARE` of the rate, unless that
    is an option, a warm-up, and with small batches the batch norm of its pretraining; not so where
    the method has an `own_recipe` for such weights.
    """
    parameters = list(parameters)
    size = batch_size(options.batch_size, len(step.data))
    pretrained = step.spec.weights is not None and not own_recipe
    lr = options.lr or _default_lr(options, size, default_lr)
    groups: list[dict[str, object]] = [{"params": parameters}]
    if pretrained and options.lr is None:
        groups = _groups(step, parameters, lr)
    epochs, stopping = _length(options, step)
    return Phase(
        name="main",
        images=step.data,
        epochs=epochs,
        batch_size=size,
        optimizer=_optimizer(options, groups, lr),
        schedule=_schedule(options, PRETRAINED_WARM_UP if pretrained else 0.0, stopping),
        max_grad_norm=options.max_grad_norm or default_norm,
        frozen=batch_norms(step.network) if pretrained and size <= SMALL_BATCH else [],
        stopping=stopping,
    )


def usual_epochs(options: SGDOptions) -> int:
    """Return the number of epochs, the options' default where it is left to the held-out images."""
    if options.epochs is not None:
        return options.epochs
    default: int = type(options).model_fields["epochs"].default
    return default


def _default_lr(options: SGDOptions, size: int, default: float | None) -> float:
    if options.optimizer == "adamw":
        return ADAMW_LR
    return default or 0.1 * (size / 128) ** 0.5


def _length(options: SGDOptions, step: Step) -> tuple[int, EarlyStopping | None]:
    """Return the most epochs, and what may end them before."""
    if options.epochs is not None or not len(step.held_out):
        return usual_epochs(options), None
    return MAX_EPOCHS, EarlyStopping(PATIENCE, len(options.milestones), options.lr_decay)


def _schedule(options: SGDOptions, warm_up: float, stopping: EarlyStopping | None) -> Schedule:
    if options.schedule == "cosine":
        return Cosine()
    if options.schedule == "one_cycle":
        return OneCycle()
    if stopping is not None:  # the rate falls when the accuracy says so
        return Steps(warm_up=warm_up * usual_epochs(options) / MAX_EPOCHS)
    return Steps(options.milestones, options.lr_decay, warm_up)


def _optimizer(options: SGDOptions, groups: list[dict[str, object]], lr: float) -> Optimizer:
    decay = options.weight_decay
    if options.optimizer == "adamw":
        betas = options.momentum, 0.999
        return torch.optim.AdamW(groups, lr=lr, betas=betas, weight_decay=decay, fused=True)
    return torch.optim.SGD(groups, lr=lr, momentum=options.momentum, weight_decay=decay, fused=True)


def _groups(step: Step, parameters: list[nn.Parameter], lr: float) -> list[dict[str, object]]:
    """Return the optimiser's groups, the backbone first; in all, the parameters in their order."""
    backbone = {id(each) for each in step.network.backbone.parameters()}
    body = [each for each in parameters if id(each) in backbone]
    head = [each for each in parameters if id(each) not in backbone]
    slow: dict[str, object] = {"params": body, "lr": PRETRAINED_SHARE * lr}
    fast: dict[str, object] = {"params": head}
    return [group for group in (slow, fast) if group["params"]]
