"""Pictures of five things that are easily told apart, as a new user would have them: in folders."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.pictures import encode

SIDE = 96
Draw = Callable[[ImageDraw.ImageDraw, np.random.Generator], None]


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = random.integers(40, 220, 3)
    return int(red), int(green), int(blue)


def _ring(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    x, y, radius = random.integers(38, 58), random.integers(38, 58), random.integers(22, 36)
    box = [int(each) for each in (x - radius, y - radius, x + radius, y + radius)]
    draw.ellipse(box, outline=_colour(random), width=9)


def _stripes(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    for x in range(int(random.integers(0, 8)), SIDE, 14):
        draw.rectangle([x, 0, x + 6, SIDE], fill=_colour(random))


def _dots(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    for _ in range(24):
        x, y = (int(each) for each in random.integers(4, SIDE - 8, 2))
        draw.ellipse([x, y, x + 7, y + 7], fill=_colour(random))


def _star(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    turn, long = random.uniform(0, 6), random.uniform(36, 44)
    corners = [
        (
            48 + (long if point % 2 else 16) * np.cos(turn + point * np.pi / 5),
            48 + (long if point % 2 else 16) * np.sin(turn + point * np.pi / 5),
        )
        for point in range(10)
    ]
    draw.polygon([(float(x), float(y)) for x, y in corners], fill=_colour(random))


def _checks(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    size, colour = int(random.integers(11, 16)), _colour(random)
    for x in range(0, SIDE, size):
        for y in range(0, SIDE, size):
            if (x + y) // size % 2:
                draw.rectangle([x, y, x + size, y + size], fill=colour)


SHAPES: Mapping[str, Draw] = {
    "ring": _ring,
    "stripes": _stripes,
    "dots": _dots,
    "star": _star,
    "checks": _checks,
}


def picture(label: str, seed: int) -> Image.Image:
    """A picture of a class, like no other of another seed."""
    random = np.random.default_rng([seed, *label.encode()])
    image = Image.new("RGB", (SIDE, SIDE), (245, 243, 238))
    SHAPES[label](ImageDraw.Draw(image), random)
    return image


def png(label: str, seed: int) -> bytes:
    """That picture as a file."""
    return encode(picture(label, seed))


def write_folders(home: Path, number: int = 14) -> Path:
    """Write a folder for each class."""
    for label in SHAPES:
        (home / label).mkdir(parents=True)
        for seed in range(number):
            picture(label, seed).save(home / label / f"{seed}.png")
    return home


def write_stranger(path: Path) -> Path:
    """Write a picture of no class: grain in many colours."""
    noise = np.random.default_rng(7).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path
