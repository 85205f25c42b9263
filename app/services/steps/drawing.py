"""Which new images are held out: whole clusters, drawn by the seed."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from app.db.repositories.learning import LabelledImage

# By label, the hashes of a cluster's images.
_Cluster = dict[str, list[str]]


def drawn(
    images: Iterable[LabelledImage],
    cluster_of: Callable[[LabelledImage], str],
    fraction: float,
    seed: int,
) -> dict[str, list[str]]:
    """Return the images that the seed chooses to be held out, by label.

    Of each class's n images they are at most floor(fraction · n), and as many as that where each
    image is a cluster of its own. Where no cluster is that small, it is the one whose size is
    nearest, unless it has more than half of a class. The order of the images decides nothing.
    """

    def draw(sha256: str) -> str:
        return hashlib.sha256(f"{seed}:{sha256}".encode()).hexdigest()

    by_name: dict[str, _Cluster] = {}
    counts: Counter[str] = Counter()
    for image in images:
        cluster = by_name.setdefault(cluster_of(image), {})
        cluster.setdefault(image.label, []).append(image.sha256)
        counts[image.label] += 1
    clusters = sorted(by_name.values(), key=lambda one: min(map(draw, _hashes(one))))
    # The decimal that was written, not the binary fraction next to it: 0.29 · 100 is 29.
    room = {label: math.floor(Fraction(str(fraction)) * n) for label, n in counts.items()}
    taken: Counter[str] = Counter()
    chosen: list[_Cluster] = []
    rest: list[_Cluster] = []
    for cluster in clusters:
        fits = all(taken[label] + len(own) <= room[label] for label, own in cluster.items())
        (chosen if fits else rest).append(cluster)
        if fits:
            taken.update(_sizes(cluster))
    for label in sorted(label for label in room if room[label] and not taken[label]):
        if taken[label]:  # by a cluster that was taken for another class
            continue
        nearest = _nearest(rest, label, room[label], taken, counts)
        if nearest is not None:
            chosen.append(nearest)
            rest.remove(nearest)
            taken.update(_sizes(nearest))
    result: dict[str, list[str]] = {}
    for cluster in chosen:
        for label, hashes in cluster.items():
            result.setdefault(label, []).extend(sorted(hashes, key=draw))
    return result


def _nearest(
    clusters: Sequence[_Cluster],
    label: str,
    size: int,
    taken: Counter[str],
    counts: Counter[str],
) -> _Cluster | None:
    """Return the first cluster with a number of images of `label` that is nearest to `size`."""
    fit = [
        cluster
        for cluster in clusters
        if label in cluster
        and all(2 * (taken[other] + len(own)) <= counts[other] for other, own in cluster.items())
    ]
    return min(fit, key=lambda cluster: abs(len(cluster[label]) - size), default=None)


def _hashes(cluster: _Cluster) -> Iterable[str]:
    return (sha256 for hashes in cluster.values() for sha256 in hashes)


def _sizes(cluster: _Cluster) -> dict[str, int]:
    return {label: len(hashes) for label, hashes in cluster.items()}
