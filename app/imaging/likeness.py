"""Which images look alike, by their perceptual hashes."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

# Of the differences that either of two hashes has, the part that may be unlike. Up to it, they are
# the same picture, coded with loss or scaled.
_UNLIKE = 0.1
# Differences in a hash, which bound how many of them may be unlike.
_DIFFERENCES = 128
# Levels of 256 by which the mean of a colour may differ.
_COLOUR = 8
# Pairs that are compared in one array operation: what fits into a processor's cache.
_PAIRS = 1 << 17

_Positions = NDArray[np.intp]


class _Hashes:
    """Perceptual hashes as arrays: signs are uint64 [n, 2 words], colours int16 [n, 3]."""

    def __init__(self, looks: Sequence[str]) -> None:
        raw = np.frombuffer(bytes.fromhex("".join(looks)), dtype=np.uint8).reshape(len(looks), -1)
        signs = np.ascontiguousarray(raw[:, :32]).view(np.uint64)
        self.rises, self.falls, self.colours = signs[:, :2], signs[:, 2:], raw[:, 32:].astype(int)

    def unlike(self, first: _Positions, second: _Positions, word: int) -> NDArray[np.uint8]:
        """Return how many differences in a word of two hashes are unlike; positions broadcast."""
        rises, falls = self.rises[:, word], self.falls[:, word]
        return np.bitwise_count((rises[first] ^ rises[second]) | (falls[first] ^ falls[second]))

    def alike(self, first: _Positions, second: _Positions) -> NDArray[np.bool_]:
        """Say which of the pairs of positions look alike."""
        unlike = self.unlike(first, second, 0) + self.unlike(first, second, 1)
        given = self.rises | self.falls
        either = np.bitwise_count(given[first] | given[second]).sum(axis=1)
        colours = np.abs(self.colours[first] - self.colours[second]).max(axis=1)
        return np.asarray((unlike <= _UNLIKE * either) & (colours <= _COLOUR))


def pairs_alike(new: Sequence[str], known: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of images that look alike: two new ones, or a new and a known one.

    Both are perceptual hashes (`identity.Identity.look`). A pair is of positions in
    `[*new, *known]`, the first of which is of a new image.
    """
    if not new:
        return
    hashes = _Hashes([*new, *known])
    # In the order of a mean colour, only neighbours can be alike.
    order = np.argsort(hashes.colours[:, 1], kind="stable")
    green = hashes.colours[order, 1]
    start = 0
    while start < len(order):
        reach = int(np.searchsorted(green, green[start] + _COLOUR, side="right")) - start
        rows = max(1, _PAIRS // reach)
        block = order[start : start + rows]
        end = np.searchsorted(green, hashes.colours[block[-1], 1] + _COLOUR, side="right")
        others = order[start:end]
        maybe = hashes.unlike(block[:, None], others[None, :], 0) <= _UNLIKE * _DIFFERENCES
        row, other = np.nonzero(maybe)
        # Each pair once, and no image with itself.
        row, other = row[row < other], other[row < other]
        first, second = np.minimum(block[row], others[other]), np.maximum(block[row], others[other])
        found = hashes.alike(first, second) & (first < len(new))
        yield from zip(first[found].tolist(), second[found].tolist(), strict=True)
        start += len(block)
