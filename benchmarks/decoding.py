"""What it costs to turn a photograph's file into a network's pixels, by rules and by library.

CPU time on one thread, in alternation within one run, as a ratio to the rules before PyTorch
resized (number 2).

    python -m benchmarks.decoding

Photographs are the two that scikit-learn brings (640 by 427 pixels), at several sizes. Prints a
table and writes benchmarks/results/decoding.json.
"""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import simplejpeg
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.io import decode_jpeg

from app.imaging import bilinear
from app.imaging.colours import to_rgb
from app.imaging.decode import decode
from app.imaging.reading import opened
from app.imaging.resize import to_square
from app.imaging.rules import CURRENT, SECOND
from benchmarks import runner

ROUNDS = 9
# Files of a work together have about so many pixels.
PIXELS = 4_000_000
# Width, height, and the side of the network's input. Enlarged photographs have less detail a pixel
# than real ones of that size.
KINDS = [(500, 375, 224), (640, 427, 224), (640, 427, 32), (320, 240, 224), (2560, 1708, 224)]

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def main() -> None:
    """Measure, print, write."""
    torch.set_num_threads(1)
    results = []
    for width, height, side in KINDS:
        files = photographs(width, height)
        files *= max(1, PIXELS // (width * height * len(files)))
        ways = {name: partial(each, way, side, files) for name, way in WAYS.items()}
        seconds = runner.cpu_in_turn(ways, ROUNDS)
        before, by_name = seconds["rules 2, decoded by Pillow"], {}
        for name, taken in seconds.items():
            by_name[name] = {
                "cpu_ms": round(taken / len(files) * 1e3, 3),
                "ratio": round(taken / before, 3),
                **differences(WAYS[name], side, files[:2]),
            }
        results.append({"width": width, "height": height, "side": side, "ways": by_name})
        print(f"\n{width}x{height} to {side}: {len(files[0])} and {len(files[1])} bytes")
        for name, row in by_name.items():
            print(f"  {name:44}", "  ".join(f"{key} {value:7.3f}" for key, value in row.items()))
    runner.write("decoding", {"kinds": results})


def each(way: Callable[[bytes, int], Pixels], side: int, files: list[bytes]) -> None:
    """Decode all files."""
    for file in files:
        way(file, side)


def differences(
    way: Callable[[bytes, int], Pixels], side: int, files: list[bytes]
) -> dict[str, float]:
    """Return the mean and largest difference of levels from what rules 2 give."""
    found = [
        np.abs(way(file, side).astype(int) - decode(file, side, rules=SECOND)) for file in files
    ]
    return {
        "mean_difference": round(float(np.mean(found)), 4),
        "largest_difference": float(np.max(found)),
    }


def photographs(width: int, height: int) -> list[bytes]:
    """Return JPEGs of quality 85 as cameras write them, with halved colour resolution."""
    files = []
    for picture in load_sample_images().images:
        file = io.BytesIO()
        scaled = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
        scaled.save(file, "JPEG", quality=85)
        files.append(file.getvalue())
    return files


def plain_pillow(data: bytes, side: int) -> Pixels:
    """Decode as most services do."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))


def torchvision(data: bytes, side: int) -> Pixels:
    """Decode by torchvision's libjpeg at full size, and resize by PyTorch."""
    pixels = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    return bilinear.resized(pixels.permute(1, 2, 0).contiguous().numpy(), side, side)


def eighths(data: bytes, side: int) -> Pixels:
    """Decode by libjpeg-turbo at the smallest scale in eighths that is large enough."""
    pixels = simplejpeg.decode_jpeg(data, min_height=side, min_width=side)
    return bilinear.resized(pixels, side, side)


def by_pillow(data: bytes, side: int) -> Pixels:
    """Decode as Accrue did before it called libjpeg-turbo: Pillow decodes and resizes."""
    with opened(data, None) as image:
        size = image.size
        image.draft(None, (side, side))
        return to_square(to_rgb(image), side, "squash", size, SECOND)


WAYS: dict[str, Callable[[bytes, int], Pixels]] = {
    "rules 2, decoded by Pillow": by_pillow,
    "rules 2": partial(decode, rules=SECOND),
    "rules 3": partial(decode, rules=CURRENT),
    "plain Pillow": plain_pillow,
    "torchvision, resized by PyTorch": torchvision,
    "scaled by eighths, resized by PyTorch": eighths,
}


if __name__ == "__main__":
    main()
