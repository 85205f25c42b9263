"""AVIF files cannot make the decoder take more memory than the limit of pixels allows."""

import io
import struct

import pytest
from PIL import Image

from app.imaging.av1 import as_still, decoded_pixels
from app.imaging.decode import canonical
from app.imaging.reading import ImageLimits, TooLargeError
from tests.pictures import encode, pixels

LIMITS = ImageLimits(bytes=10**6, pixels=10**6)


def saying(data: bytes, size: tuple[int, int], other: tuple[int, int]) -> bytes:
    """An AVIF that says that it has another size."""
    box = b"ispe\0\0\0\0"
    said = box + struct.pack(">II", *size)
    assert said in data
    return data.replace(said, box + struct.pack(">II", *other))


def test_a_small_file_that_hides_a_large_picture_is_refused() -> None:
    bomb = saying(encode(Image.new("RGB", (2000, 2000)), "AVIF"), (2000, 2000), (64, 64))
    with Image.open(io.BytesIO(bomb)) as image:
        assert image.size == (64, 64)
    with pytest.raises(TooLargeError, match="more than 1000000 pixels"):
        canonical(bomb, LIMITS)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_the_size_of_ordinary_files_is_found(mode: str) -> None:
    sent = encode(Image.fromarray(pixels(40, 24)).convert(mode), "AVIF")
    assert decoded_pixels(sent) == 40 * 24


def test_a_sequence_is_its_still_picture() -> None:
    first, second = Image.fromarray(pixels(24, 16)), Image.new("RGB", (24, 16), "red")
    moving = encode(first, "AVIF", save_all=True, append_images=[second])
    assert moving[4:12] == b"ftypavis"
    assert as_still(moving)[4:12] == b"ftypavif"
    assert decoded_pixels(moving) == 24 * 16
    assert canonical(moving, LIMITS).size == (24, 16)
    assert canonical(moving, LIMITS).getpixel((5, 5)) != (254, 0, 0)


def test_a_file_whose_pictures_cannot_be_found_is_not_decoded() -> None:
    sent = encode(pixels(24, 16), "AVIF")
    for cut in range(12, len(sent) - 1):
        with pytest.raises((ValueError, LookupError, struct.error)):
            decoded_pixels(sent[:cut][:-1] + b"\xff")
