"""What is asked of each server: a network, images of one form, and so many clients at once."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

# Classes that the networks tell apart, and images that servers take into a forward pass at most.
CLASSES = 100
BATCH = 16


@dataclass(frozen=True)
class Workload:
    """One network with one kind of image, of which each request has one."""

    name: str
    title: str
    backbone: str
    size: int
    clients: int
    # Of a round, by default.
    requests: int
    media_type: str
    image: Callable[[], bytes]


def picture(draw: np.random.Generator) -> bytes:
    """Return a PNG of 32×32 with a kilobyte or two, like a small photograph's."""
    coarse = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return _file(Image.fromarray(coarse), (32, 32), "PNG")


def photograph() -> bytes:
    """Return a JPEG of 500×375, as the photographs of many data sets are."""
    return _file(Image.fromarray(load_sample_images().images[0]), (500, 375), "JPEG", quality=85)


def _file(picture: Image.Image, size: tuple[int, int], form: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(file, form, **options)
    return file.getvalue()


SMALL = Workload(
    name="resnet32",
    title="ResNet-32 at 32 pixels, PNGs of 32×32, 32 clients",
    backbone="resnet32",
    size=32,
    clients=32,
    requests=8000,
    media_type="image/png",
    image=lambda: picture(np.random.default_rng(0)),
)
LARGE = Workload(
    name="resnet18",
    title="ResNet-18 at 224 pixels, JPEGs of 500×375, 16 clients",
    backbone="resnet18",
    size=224,
    clients=16,
    requests=600,
    media_type="image/jpeg",
    image=photograph,
)
WORKLOADS = (SMALL, LARGE)
