"""Features of learnt images, kept one by one so that any of them can be taken out again."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from models.errors import LearningError
from models.state import Tensors
from models.step import Correction


class Rows(NamedTuple):
    """Images of a class that one step brought.

    `features` [n, M] are in float16, `digests` uint8 [n, 32] identify the images. Versions of
    older releases have no digests.
    """

    features: Tensor
    digests: Tensor | None

    @classmethod
    def joined(cls, each: "Sequence[Rows]") -> Self:
        """Return the rows of several as one; they have digests."""
        digests = [rows.digests for rows in each if rows.digests is not None]
        return cls(torch.cat([rows.features for rows in each]), torch.cat(digests))

    def where(self, positions: Sequence[int]) -> "Rows":
        """Return the rows at positions."""
        at = torch.tensor(positions)
        digests = None if self.digests is None else self.digests[at]
        return Rows(self.features[at.to(self.features.device)], digests)

    def each_digest(self) -> Iterator[bytes]:
        """Yield the digest of each row, where they have some."""
        if self.digests is not None:
            raw = self.digests.cpu().contiguous().numpy().tobytes()
            yield from (raw[start : start + 32] for start in range(0, len(raw), 32))

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

    def counts(self) -> list[int]:
        """Return the number of images of each column."""
        return [sum(len(rows.features) for rows in kept) for kept in self.by_column]

    def all(self) -> tuple[Tensor, Tensor]:
        """Return the features [N, M] and columns [N] of all images, class by class."""
        counts = self.counts()
        features = torch.cat([rows.features for kept in self.by_column for rows in kept])
        columns = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return features, columns.to(features.device)

    def digests(self) -> Tensor:
        """Return the digests uint8 [N, 32] of `all`, zeros where an older release kept none."""
        found = [
            torch.zeros(len(rows.features), 32, dtype=torch.uint8)
            if rows.digests is None
            else rows.digests.cpu()
            for kept in self.by_column
            for rows in kept
        ]
        return torch.cat([torch.zeros(0, 32, dtype=torch.uint8), *found])

    def corrected(self, images: Sequence[Correction]) -> "KeptFeatures":
        """Return the features with images in other classes or left out.

        Each image stays or comes once, whichever of its files it was learnt from. Raises
        LearningError for an image that is not among them.
        """
        by_digest = {digest: image for image in images for digest in image.digests}
        found: dict[Correction, Rows] = {}
        placed: set[Correction] = set()
        by_column: list[list[Rows]] = []
        for column, kept in enumerate(self.by_column):
            by_column.append([])
            for rows in kept:
                stays = torch.ones(len(rows.features), dtype=torch.bool)
                for row, digest in enumerate(rows.each_digest()):
                    if (image := by_digest.get(digest)) is None:
                        continue
                    found.setdefault(image, rows.where([row]))
                    if image.column == column and image not in placed:
                        placed.add(image)
                        continue
                    stays[row] = False
                if stays.all():
                    by_column[-1].append(rows)
                elif stays.any():
                    by_column[-1].append(rows.where(stays.nonzero().flatten().tolist()))
        if missing := [image for image in images if image not in found]:
            raise LearningError("cannot-correct", self._why_missing(len(missing)))
        come = [
            (found[image], image.column)
            for image in images
            if image.column is not None and image not in placed
        ]
        for column in sorted({column for _, column in come}):
            by_column[column].append(Rows.joined([rows for rows, own in come if own == column]))
        return KeptFeatures(by_column)

    def _why_missing(self, count: int) -> str:
        if any(rows.digests is None for kept in self.by_column for rows in kept):
            return (
                f"of {count} of the images it is not known which of the kept features are theirs, "
                "since an older release learnt them: forget their classes and send them again with "
                "the right labels"
            )
        return (
            f"the features of {count} of the images are not kept: forget their classes and send "
            "them again with the right labels"
        )

    def without(self, columns: Collection[int]) -> "KeptFeatures":
        """Return the features of the other classes."""
        return KeptFeatures([kept for c, kept in enumerate(self.by_column) if c not in columns])
