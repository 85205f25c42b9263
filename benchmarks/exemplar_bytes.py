"""What an exemplar takes as it was sent and as WebP, and what re-encoding costs.

    ACCRUE_DATASETS=… python -m benchmarks.exemplar_bytes

Prints a table and writes benchmarks/results/exemplar_bytes.json.
"""

import io
import json
import statistics
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from app.imaging.decode import decode
from app.imaging.webp import WebP
from benchmarks.datasets import home, load_module
from models.spec import Budget

RESULTS = Path(__file__).parent / "results" / "exemplar_bytes.json"
IMAGES = 100
QUALITY = Budget(exemplars=1).quality
# Data sets, and the network's sizes for which their images are re-encoded.
SIZES = {
    "cifar100": (32,),
    "gtsrb": (32,),
    "caltech101_photos": (96, 160),
    "imagenet100": (160, 224),
}


def files(name: str) -> list[bytes]:
    """Return some images of a data set, evenly from all, as they are sent: JPEG or PNG."""
    if name == "imagenet100":
        pack = np.load(home() / "imagenet100_sample.npz")
        data, at = pack["jpg"].tobytes(), pack["off"]
        images = [data[a:b] for a, b in pairwise(at)]
    else:
        images = load_module().load(name)[0]
    chosen = np.linspace(0, len(images) - 1, IMAGES).astype(int)
    return [each if isinstance(each, bytes) else png(each) for each in (images[i] for i in chosen)]


def png(pixels: np.ndarray) -> bytes:
    """Return pixels [S, S, 3] as a file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def measured(sent: list[bytes], size: int) -> dict[str, float]:
    """Return the mean bytes of both forms, and the CPU time to encode and decode an image."""
    encoder = WebP(quality=QUALITY)
    pixels = [decode(data, size) for data in sent]
    began = time.process_time()
    files = [encoder.encode(image) for image in pixels]
    for file in files:
        decode(file, size)
    taken = time.process_time() - began
    return {
        "sent_bytes": round(statistics.mean(map(len, sent))),
        "webp_bytes": round(statistics.mean(map(len, files))),
        "cpu_ms": round(1e3 * taken / len(sent), 2),
    }


def main() -> None:
    """Measure, print and write."""
    table = Table("data set", "image_size", "bytes as sent", "as WebP", "CPU ms an image")
    found = {}
    for name, sizes in SIZES.items():
        sent = files(name)
        for size in sizes:
            row = found[f"{name}, {size}"] = measured(sent, size)
            table.add_row(name, str(size), *map(str, row.values()))
    Console().print(table)
    RESULTS.write_text(json.dumps({"quality": QUALITY, "rows": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
