"""Pixels by the current rules: a filter written out, and the same bits on every processor."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from app.imaging.decode import decode
from app.imaging.rules import CURRENT, FIRST, SECOND
from tests.pictures import encode

# The side of squares, which is the smallest that PyTorch makes.
SIDE = 64
# Larger in one direction, in both and in none; of both parities.
SIZES = [(64, 32), (100, 64), (128, 127), (65, 255), (48, 33), (7, 9), (1, 1), (200, 3)]

# Prints what a hundred kinds of resizing give, as hexadecimal digits.
DIGEST = """
import hashlib
import numpy as np
from app.imaging.bilinear import resized
draw = np.random.default_rng(5)
found = hashlib.sha256()
for _ in range(100):
    height, width, new_height, new_width = draw.integers(2, 90, 4).tolist()
    pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
    found.update(resized(pixels, new_width, new_height).tobytes())
print(found.hexdigest())
"""


def noise(width: int, height: int) -> np.ndarray:
    draw = np.random.default_rng(width * 1000 + height)
    return draw.integers(0, 256, (height, width, 3), dtype=np.uint8)


def triangles(old: int, new: int) -> np.ndarray:
    """The weights [new, old] of old pixels in new ones, along one side."""
    scale = old / new
    reach = max(scale, 1.0)
    centres = (np.arange(new) + 0.5) * scale
    distances = np.abs(np.arange(old) + 0.5 - centres[:, None]) / reach
    weights = np.clip(1 - distances, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


def filtered(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture [H, W, 3] at another size, before rounding."""
    across = np.einsum("nw,hwc->hnc", triangles(pixels.shape[1], width), pixels.astype(float))
    return np.einsum("mh,hnc->mnc", triangles(pixels.shape[0], height), across)


@pytest.mark.parametrize("size", SIZES)
def test_pixels_are_means_below_triangles(size: tuple[int, int]) -> None:
    pixels = noise(*size)
    # Rounded once along each side.
    error = decode(encode(pixels), SIDE) - filtered(pixels, SIDE, SIDE)
    assert np.abs(error).max() < 1.1
    assert np.abs(error.mean()) < 0.3


@pytest.mark.parametrize("size", [(100, 80), (80, 101), (65, 64), (128, 64)])
def test_crop_scales_the_middle_in_whole_pixels(size: tuple[int, int]) -> None:
    width, height = size
    pixels, side = noise(width, height), min(size)
    left, top = (width - side) // 2, (height - side) // 2
    middle = pixels[top : top + side, left : left + side]
    error = decode(encode(pixels), SIDE, resize="crop") - filtered(middle, SIDE, SIDE)
    assert np.abs(error).max() < 1.1


def test_pad_scales_within_its_border() -> None:
    pixels = noise(120, 60)
    square = decode(encode(pixels), 128, resize="pad")
    assert np.abs(square[32:96] - filtered(pixels, 128, 64)).max() < 1.1
    assert (square[:32] == 128).all()
    assert (square[96:] == 128).all()


@pytest.mark.parametrize("rules", [FIRST, SECOND])
@pytest.mark.parametrize("size", [*SIZES, (700, 500)])
def test_earlier_rules_resize_as_ever(size: tuple[int, int], rules: int) -> None:
    pixels = noise(*size)
    image = Image.fromarray(pixels)
    expected = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    assert np.array_equal(decode(encode(pixels), SIDE, rules=rules), np.array(expected))


@pytest.mark.parametrize("size", [(256, 100), (100, 256), (700, 500), (2000, 1)])
def test_images_of_four_times_the_size_are_reduced_first(size: tuple[int, int]) -> None:
    data = encode(noise(*size))
    assert np.array_equal(decode(data, SIDE, rules=CURRENT), decode(data, SIDE, rules=SECOND))


def test_small_squares_are_pillows() -> None:
    data = encode(noise(120, 90))
    assert np.array_equal(decode(data, 63, rules=CURRENT), decode(data, 63, rules=SECOND))


def test_rules_are_within_a_level_of_each_other() -> None:
    data = encode(noise(120, 90))
    now, before = (decode(data, SIDE, rules=rules).astype(int) for rules in (CURRENT, SECOND))
    assert 0 < np.abs(now - before).sum() < now.size // 10
    assert np.abs(now - before).max() == 1


@pytest.mark.slow
def test_the_instructions_of_a_processor_change_no_bit() -> None:
    """PyTorch has a kernel for AVX2, and one for any processor."""

    def digest(**environment: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", DIGEST],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert digest() == digest(ATEN_CPU_CAPABILITY="default")
