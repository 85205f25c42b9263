"""What an optimizer step needs of a training phase: its parameters, gradients and rates."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from models.methods.base import Phase
from models.networks import Activations


def trained(phase: Phase) -> list[nn.Parameter]:
    """Return the parameters that the training phase trains."""
    return [each for group in phase.optimizer.param_groups for each in group["params"]]


@contextmanager
def gradients_of(phase: Phase, network: nn.Module) -> Iterator[None]:
    """Compute gradients only of the parameters that the training phase trains, to save time."""
    wanted = {id(each) for each in trained(phase)}
    spared = [p for p in network.parameters() if p.requires_grad and id(p) not in wanted]
    for parameter in spared:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in spared:
            parameter.requires_grad_(True)


def in_float32(outputs: Activations) -> Activations:
    """Return activations for losses, which are computed in float32.

    The feature map stays the tensor that the logits came from: attention differentiates by it.
    """
    return outputs._replace(features=outputs.features.float(), logits=outputs.logits.float())


def set_rates(phase: Phase, fraction: float, scale: float = 1.0) -> None:
    """Set the rates from the fraction of the training phase that is done, times `scale`."""
    factor = phase.schedule.factor(fraction) * scale
    for group in phase.optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
