"""Distances to classes in the units of how much their images differ (Mahalanobis, 1936)."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.discriminant import Discriminant
from models.state import Tensors


class Mahalanobis(nn.Module):
    """√((z − μ)ᵀ R⁻¹ (z − μ)) for the mean μ of each class and the covariance R that all share.

    `root` [D, D] is R^(−½), with which the distance is Euclidean; `means` [C, D] are R^(−½)·μ.
    """

    root: Tensor
    means: Tensor

    def __init__(self, root: Tensor, means: Tensor) -> None:
        super().__init__()
        self.register_buffer("root", root)
        self.register_buffer("means", means)

    @classmethod
    def of(cls, discriminant: Discriminant, alpha: float) -> Self:
        """Return the distances by a discriminant's means and its covariance shrunk by α."""
        root, means = discriminant.whitened(alpha)
        return cls(root.float(), means.float())

    def state(self) -> Tensors:
        """Return the tensors that define the module."""
        return {"root": self.root, "means": self.means}

    def forward(self, features: Tensor) -> Tensor:
        """Return the distances [B, C] of features [B, D]."""
        # Not by a matrix product, whose rounding depends on how many images are in the batch.
        return torch.cdist(
            features @ self.root, self.means, compute_mode="donot_use_mm_for_euclid_dist"
        )


class UnitMahalanobis(Mahalanobis):
    """The same of features that are L2-normalised first."""

    def forward(self, features: Tensor) -> Tensor:
        """Return the distances [B, C] of features [B, D] of any length."""
        return super().forward(functional.normalize(features))
