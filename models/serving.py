"""From a version's state to the module that predicts."""

import torch

from models.classify import Servable
from models.compute import to_device
from models.learner import restore
from models.spec import Spec
from models.state import State


def load_servable(
    spec: Spec,
    state: State,
    *,
    task: int | None = None,
    classify: str = "auto",
    device: str = "cpu",
) -> Servable:
    """Return a module that takes uint8 images [B, 3, S, S] and returns an `Output`.

    It is frozen and in eval mode. Raises ValueError for a task or a way to classify that the
    method does not have.
    """
    servable = restore(spec, state, torch.device(device)).servable(task, classify)
    servable.requires_grad_(False).eval()
    return to_device(servable, torch.device(device))
