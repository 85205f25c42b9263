"""Features of learnt images, kept one by one so that any of them can be taken out again."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Self

import torch
from torch import Tensor

from models.state import Tensors


class Rows(NamedTuple):
    """Images of a class that one step brought.

    `features` [n, M] are in float16, `digests` uint8 [n, 32] identify the images. Versions of
    older releases have no digests.
    """

    features: Tensor
    digests: Tensor | None

    def part(self) -> Tensors:
        """Return the tensors as a version stores them."""
        found = {"features": self.features}
        return found if self.digests is None else {**found, "digests": self.digests}


class KeptFeatures:
    """By column, the features of each step's images.

    Rows never change, so that versions share them, as parts named ``features.COLUMN.NUMBER``.
    """

    def __init__(self, by_column: list[list[Rows]] | None = None) -> None:
        self.by_column = by_column or []

    @classmethod
    def load(cls, parts: Mapping[str, Tensors], columns: int) -> Self:
        """Restore the features of `columns` classes from a version's parts."""
        by_column: list[list[Rows]] = [[] for _ in range(columns)]
        for column, kept in enumerate(by_column):
            while (part := parts.get(f"features.{column}.{len(kept)}")) is not None:
                kept.append(Rows(part["features"], part.get("digests")))
        return cls(by_column)

    def parts(self) -> Iterator[tuple[str, Tensors]]:
        """Yield the name and the tensors of each part."""
        for column, kept in enumerate(self.by_column):
            for number, rows in enumerate(kept):
                yield f"features.{column}.{number}", rows.part()

    def add(self, features: Tensor, columns: Tensor, digests: Tensor | None, classes: int) -> None:
        """Keep features [n, M] in float16 of a step's images, of `columns` [n] out of `classes`."""
        self.by_column += [[] for _ in range(classes - len(self.by_column))]
        for column in columns.unique().tolist():
            own = columns == column
            rows = Rows(features[own], None if digests is None else digests[own.cpu()])
            self.by_column[column].append(rows)

    def of(self, columns: Collection[int]) -> list[Tensor]:
        """Return the features [n, M] of classes, step by step."""
        return [rows.features for column in columns for rows in self.by_column[column]]

    def all(self) -> tuple[Tensor, Tensor]:
        """Return the features [N, M] and columns [N] of all images, class by class."""
        counts = [sum(len(rows.features) for rows in kept) for kept in self.by_column]
        features = torch.cat(self.of(range(len(counts))))
        columns = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return features, columns.to(features.device)

    def without(self, columns: Collection[int]) -> "KeptFeatures":
        """Return the features of the other classes."""
        return KeptFeatures([kept for c, kept in enumerate(self.by_column) if c not in columns])
