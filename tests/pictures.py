"""Small pictures for tests, in every form in which they may be sent."""

import io
from typing import Any

import numpy as np
from PIL import Image


def pixels(width: int = 24, height: int = 16, seed: int = 0) -> np.ndarray:
    """Smooth noise, uint8 [height, width, 3]: coded with loss it still looks like itself."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(picture)


def encode(picture: Image.Image | np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    """The picture as a file."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def png(seed: int = 0, width: int = 24, height: int = 16) -> bytes:
    """A PNG that is like no other of another seed."""
    return encode(pixels(width, height, seed))


def jpeg(seed: int = 0, width: int = 24, height: int = 16, **options: Any) -> bytes:
    """A JPEG that is like no other of another seed."""
    return encode(pixels(width, height, seed), "JPEG", **options)
