"""scikit-learn's handwritten digits as a folder of class folders.

``python -m app.demo.digits FOLDER`` writes them.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

IMAGE_SIZE = 8
# Every fourth image of a class is a test image.
_TEST_EVERY = 4


def write_digits(folder: Path) -> None:
    """Write 1797 greyscale PNGs of 8x8 pixels to ``folder/{train,test}/<digit>/``."""
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    seen: Counter[int] = Counter()
    for image, label in zip(pixels, digits.target.tolist(), strict=True):
        split = "test" if seen[label] % _TEST_EVERY == 0 else "train"
        target = folder / split / str(label) / f"{seen[label]:03}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(target)
        seen[label] += 1


if __name__ == "__main__":
    write_digits(Path(sys.argv[1]))
