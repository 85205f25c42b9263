"""CPU time of herding, as a ratio to Alg. 4 of iCaRL written down as it stands, in the same run.

    python -m benchmarks.herding

Ranks 20 of 500 images of each of 100 classes, with features of 64 dimensions, and compares the
rankings. Prints a table and writes benchmarks/results/herding.json.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from models.memory import herd

CLASSES, IMAGES, DIMENSIONS, COUNT, ROUNDS = 100, 500, 64, 20, 7
RESULT = Path(__file__).parent / "results" / "herding.json"


def as_it_stands(features: Tensor, count: int) -> Tensor:
    """Measure the distance of every image's mean with those chosen, and take the least."""
    features = features.double()
    mean, total = features.mean(dim=0), torch.zeros(DIMENSIONS, dtype=torch.double)
    chosen: list[int] = []
    for rank in range(1, count + 1):
        distances = (mean - (total + features) / rank).norm(dim=1)
        distances[chosen] = torch.inf
        best = int(distances.argmin())
        chosen.append(best)
        total = total + features[best]
    return torch.tensor(chosen)


def main() -> None:
    """Measure both in turn, print and write."""
    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(1)
    classes = [
        functional.normalize(torch.randn(IMAGES, DIMENSIONS, generator=draws), dim=1)
        for _ in range(CLASSES)
    ]
    ways: dict[str, Callable[[Tensor, int], Tensor]] = {
        "as it stands": as_it_stands,
        "accrue": herd,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    rankings: dict[str, list[Tensor]] = {}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            started = time.process_time()
            rankings[name] = [way(features, COUNT) for features in classes]
            if number:  # the first round warms up
                seconds[name].append(time.process_time() - started)
    same = sum(map(torch.equal, *rankings.values()))
    ratio = median(
        own / other for own, other in zip(seconds["accrue"], seconds["as it stands"], strict=True)
    )
    rows = {name: round(median(values), 4) for name, values in seconds.items()}
    for name, value in rows.items():
        print(f"{name:16}{value:8.3f} CPU s")
    print(f"ratio {ratio:.2f}; {same} of {CLASSES} rankings are the same")
    machine = {"cores": os.cpu_count(), "torch": torch.__version__}
    document = {"machine": machine, "cpu_seconds": rows, "ratio": round(ratio, 3), "same": same}
    RESULT.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
