"""Where networks look: class activation maps and Grad-CAM (Selvaraju et al., ICCV 2017)."""

import torch
from torch import Tensor


def class_activation_map(feature_map: Tensor, weight: Tensor) -> Tensor:
    """Return ReLU(Σ_k weight_k · A_k) [B, h, w] of maps A [B, K, h, w] and weights [B, K].

    With a linear head over the average of A, and weights the rows of the class, this is Grad-CAM
    up to a constant, in value and in every gradient.
    """
    return torch.einsum("bk,bkhw->bhw", weight, feature_map.to(weight.dtype)).relu()


def grad_cam(feature_map: Tensor, scores: Tensor, *, create_graph: bool = False) -> Tensor:
    """Return the Grad-CAM [B, h, w] of scores [B], one of each image, for any head.

    `create_graph` makes the map differentiable, through its weights too. The weights are sums of
    the score's gradient over positions, not means: who compares maps divides by their length.
    """
    (gradients,) = torch.autograd.grad(scores.sum(), feature_map, create_graph=create_graph)
    return class_activation_map(feature_map, gradients.to(scores.dtype).sum(dim=(2, 3)))
