"""The same picture in other files is recognised, and other pictures are not taken for it."""

import io
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from app.imaging.identity import identify
from app.imaging.likeness import pairs_alike
from app.imaging.reading import ImageLimits
from app.imaging.sanitise import sanitise
from tests.pictures import encode, pixels

LIMITS = ImageLimits(bytes=10**7, pixels=10**7)


def identity(data: bytes) -> Any:
    return sanitise(data, LIMITS).identity


def noise(seed: int, side: int = 32) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    )


def turned(picture: Image.Image) -> bytes:
    """A file that is stored on its side, and says so."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    return encode(picture.transpose(Image.Transpose.ROTATE_90), exif=exif)


@pytest.mark.parametrize(
    "other",
    [
        lambda picture: encode(picture, compress_level=0),
        lambda picture: encode(picture, "BMP"),
        lambda picture: encode(picture, "WEBP", lossless=True),
        lambda picture: encode(picture.convert("RGBA")),
        turned,
    ],
)
def test_files_of_the_same_pixels_are_one_image(other: Callable[[Image.Image], bytes]) -> None:
    picture = Image.fromarray(pixels(width=40, height=30))
    assert identity(other(picture)) == identity(encode(picture))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_and_the_png_of_what_it_shows_are_one_image(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    jpeg = encode(Image.fromarray(pixels(width=40, height=30)), "JPEG", exif=exif)
    with Image.open(io.BytesIO(jpeg)) as stored:
        shown = ImageOps.exif_transpose(stored)
    assert identity(jpeg) == identity(encode(shown))


def test_other_pixels_are_another_image() -> None:
    values = pixels()
    first = identity(encode(values)).pixels
    values[3, 5, 1] ^= 1
    assert identity(encode(values)).pixels != first
    # The same bytes of pixels in another shape.
    flat = np.full((2, 6, 3), 7, dtype=np.uint8)
    assert identity(encode(flat)).pixels != identity(encode(flat.reshape(3, 4, 3))).pixels


@pytest.mark.parametrize("side", [16, 32, 64, 224])
@pytest.mark.parametrize("quality", [90, 95])
def test_a_picture_coded_with_loss_looks_the_same(side: int, quality: int) -> None:
    originals = [noise(seed, side) for seed in range(30)]
    looks = [identify(picture).look for picture in originals]
    coded = [
        identity(encode(picture, "JPEG", quality=quality)).look for picture in reversed(originals)
    ]
    assert None not in (*looks, *coded)
    # Exactly the pairs of twins, and no other.
    assert sorted(pairs_alike(looks, coded)) == [(number, 59 - number) for number in range(30)]


def test_a_scaled_picture_looks_the_same() -> None:
    picture = Image.fromarray(pixels(width=400, height=300))
    looks = [
        identify(picture).look,
        identify(picture.resize((200, 150), Image.Resampling.LANCZOS)).look,
    ]
    assert list(pairs_alike(looks, [])) == [(0, 1)]


def test_other_colours_look_different() -> None:
    values = pixels(width=64, height=64)
    looks = [
        identify(Image.fromarray(values[:, :, order])).look for order in ([0, 1, 2], [1, 2, 0])
    ]
    assert list(pairs_alike(looks, [])) == []


def test_of_a_flat_picture_nothing_can_be_said() -> None:
    draw = np.random.default_rng(1)
    flat = np.full((224, 224, 3), 128.0)
    grainy = (flat + draw.normal(0, 3, flat.shape)).round().astype(np.uint8)
    gradient = np.broadcast_to(np.arange(224, dtype=np.uint8)[None, :, None], flat.shape)
    for picture in (flat.astype(np.uint8), grainy, gradient):
        assert identify(Image.fromarray(np.ascontiguousarray(picture))).look is None


def test_a_tiny_picture() -> None:
    for size in ((1, 1), (1, 300), (300, 1)):
        assert identify(Image.new("RGB", size)).look is None


@pytest.mark.slow
def test_all_pairs_are_found_among_many() -> None:
    """The search compares only what can be alike; it must find what comparing all finds."""
    draw = np.random.default_rng(2)
    looks = []
    for _ in range(300):
        signs = draw.integers(0, 256, 32, dtype=np.uint8)
        signs[16:] &= ~signs[:16]
        colour = draw.integers(0, 256, 3, dtype=np.uint8)
        looks.append(signs.tobytes().hex() + colour.tobytes().hex())
        # A twin with few other signs, and a colour at the limit or beyond it.
        signs[draw.integers(0, 16)] ^= 1 << draw.integers(0, 8)
        signs[16:] &= ~signs[:16]
        shift = draw.integers(-9, 10, 3)
        shifted = (colour.astype(int) + shift).clip(0, 255).astype(np.uint8)
        looks.append(signs.tobytes().hex() + shifted.tobytes().hex())

    def alike(one: str, other: str) -> bool:
        first, second = (np.frombuffer(bytes.fromhex(look), np.uint8) for look in (one, other))
        bits = [np.unpackbits(look[:32]).reshape(2, 128).astype(int) for look in (first, second)]
        either = int((bits[0].sum(0) + bits[1].sum(0) > 0).sum())
        unlike = int((bits[0] != bits[1]).any(axis=0).sum())
        colours = np.abs(first[32:].astype(int) - second[32:].astype(int)).max()
        return unlike <= 0.1 * either and colours <= 8

    expected = [
        pair for pair in combinations(range(600), 2) if alike(looks[pair[0]], looks[pair[1]])
    ]
    assert len(expected) > 100
    assert sorted(pairs_alike(looks, [])) == expected
    split = sorted(pairs_alike(looks[:250], looks[250:]))
    assert split == [pair for pair in expected if pair[0] < 250]
