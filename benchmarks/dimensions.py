"""What `analytic` gains from more features, from fewer levels and from mirror images.

    python -m benchmarks.dimensions FOLDER --size 160 [--images 10] [--test 15] [--mirrors]

FOLDER has train/ and test/ with class folders, as for `accrue bench`. All classes are learnt at
once, which gives the head that steps would. α is chosen as the service does, by leaving images out.
Prints a table and adds it to benchmarks/results/dimensions.json.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from app.bench.tasks import evenly, read_tasks
from app.imaging.decode import decode
from benchmarks import runner
from models import networks
from models.discriminant import Discriminant, choose
from models.networks.projected import Projected
from models.preprocess import Preprocess

BACKBONE = "efficientnet_lite0"
# `grid` and `dimensions`; the last ones of a grid are more than there are, so nothing is projected.
SETTINGS = ((2, 1024), (2, 2048), (2, 8192), (0, 1024), (0, 8192))
SEED = 1993
BATCH = 16


def main() -> None:
    """Extract, solve, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=160, help="pixels of a side")
    parser.add_argument("--images", type=int, help="of each class to learn, at most")
    parser.add_argument("--test", type=int, help="of each class to measure on, at most")
    parser.add_argument("--mirrors", action="store_true", help="also with mirror images")
    given = parser.parse_args()
    torch.set_num_threads(1)
    classes = read_tasks(given.folder, 1, images_per_class=given.images)
    learnt = [
        [image.source for image in each.images if image.name.startswith("train/")]
        for each in classes
    ]
    tested = [each.held_out(each.labels[0]) for each in classes]
    extractor = Extractor(given.size)
    train, columns = extractor.features(learnt), columns_of(learnt)
    chosen = [evenly(files, given.test or len(files)) for files in tested]
    test, answers = extractor.features(chosen), columns_of(chosen)
    mirrored = extractor.features(learnt, mirrored=True) if given.mirrors else [None] * len(train)
    rows = []
    for setting, own, other, asked in zip(SETTINGS, train, mirrored, test, strict=True):
        for mirror in (None, other) if given.mirrors else (None,):
            rows.append(measured(setting, own, mirror, columns, asked, answers))
            print(json.dumps(rows[-1]), flush=True)
    report(given.folder.resolve().name, rows)


class Extractor:
    """The network, and what makes features of its levels in each setting."""

    def __init__(self, size: int) -> None:
        self.size = size
        network = networks.build(BACKBONE, SEED)
        mean, std = networks.pretrained(network, BACKBONE, "DEFAULT", None)
        self.preprocess = Preprocess(mean, std)
        self.backbone = network.backbone.eval()
        channels = networks.level_channels(BACKBONE, size)
        self.tails: list[nn.Module] = []
        for grid, dimensions in SETTINGS:
            projected = Projected(self.backbone, channels, dimensions, grid)
            projected.draw(SEED)
            self.tails.append(projected.tail())

    @torch.inference_mode()
    def features(self, classes: list[list[Path]], *, mirrored: bool = False) -> list[Tensor]:
        """Return the features [n, M] of all images in each setting, rounded as they are kept."""
        found: list[list[Tensor]] = [[] for _ in SETTINGS]
        for images in self._batches(classes):
            levels = self.backbone.levels(self.preprocess(images.flip(3) if mirrored else images))
            for parts, tail in zip(found, self.tails, strict=True):
                parts.append(tail(levels).half())
        return [torch.cat(parts) for parts in found]

    def _batches(self, classes: list[list[Path]]) -> Iterator[Tensor]:
        files = [file for own in classes for file in own]
        for start in range(0, len(files), BATCH):
            pixels = [decode(file.read_bytes(), self.size) for file in files[start : start + BATCH]]
            images = torch.stack([torch.from_numpy(each) for each in pixels]).permute(0, 3, 1, 2)
            yield images.contiguous(memory_format=torch.channels_last)


def columns_of(classes: list[list[Path]]) -> Tensor:
    """Return the class of each image."""
    counts = torch.tensor([len(own) for own in classes])
    return torch.arange(len(classes)).repeat_interleave(counts)


def measured(
    setting: tuple[int, int],
    train: Tensor,
    mirror: Tensor | None,
    columns: Tensor,
    test: Tensor,
    answers: Tensor,
) -> dict[str, Any]:
    """Return the accuracy in one setting, and the CPU seconds of choosing α and solving."""
    begun = time.process_time()
    classes = int(columns.max()) + 1
    discriminant = Discriminant.of(train, columns, classes)
    choice = choose(discriminant, train, columns)
    assert choice is not None
    if mirror is not None:
        both = torch.cat([train, mirror]), torch.cat([columns, columns])
        discriminant = Discriminant.of(*both, classes)
    weight, bias = discriminant.solve(choice.alpha)
    seconds = time.process_time() - begun
    best = (test.double() @ weight.T + bias).argmax(dim=1)
    return {
        "grid": setting[0],
        "features": train.shape[1],
        "mirrors": mirror is not None,
        "accuracy": round(float((best == answers).double().mean()), 4),
        "alpha": choice.alpha,
        "seconds": round(seconds, 1),
        "images": len(answers),
    }


def report(name: str, rows: list[dict[str, Any]]) -> None:
    """Print the rows of a data set, and write them beside those of others."""
    table = Table(*rows[0], box=None, title=name)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    path = runner.RESULTS / "dimensions.json"
    others = json.loads(path.read_text())["rows"] if path.exists() else {}
    runner.write("dimensions", {"rows": {**others, name: rows}})


if __name__ == "__main__":
    main()
