"""Confusion matrices as clients see them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, Field

if TYPE_CHECKING:  # the worker's parent process, which forks, must not load PyTorch
    from torch import Tensor


class ConfusionView(BaseModel):
    """How often images of one class were called another."""

    labels: list[str]
    counts: list[list[int]] = Field(description="[i][j]: images of class i that were called j.")

    @classmethod
    def of(cls, labels: Sequence[str], counts: "Tensor") -> Self:
        """Leave out classes that have no image and were never predicted; `counts` are [C, C]."""
        seen = ((counts.sum(dim=0) + counts.sum(dim=1)) > 0).nonzero().flatten()
        return cls(
            labels=[labels[column] for column in seen.tolist()],
            counts=counts[seen][:, seen].tolist(),
        )
