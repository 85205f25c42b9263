"""Re-encoding: what the network sees of an image, as a small WebP file."""

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from pydantic import BaseModel, Field

# Of libwebp's 0 (fast) to 6 (small): its default.
_METHOD = 4


class WebP(BaseModel):
    """An encoder with its settings: with the same ones, the same pixels give the same bytes."""

    format: Literal["webp"] = "webp"
    quality: int
    method: int = Field(_METHOD)
    libwebp: str = Field(default_factory=lambda: str(features.version("webp")))

    def encode(self, pixels: NDArray[np.uint8]) -> bytes:
        """Return pixels [height, width, 3], RGB, as a file without metadata."""
        file = io.BytesIO()
        image = Image.fromarray(pixels)
        image.save(file, "WEBP", lossless=False, quality=self.quality, method=self.method)
        return file.getvalue()
