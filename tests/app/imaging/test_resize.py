"""Images become squares as arithmetic by hand says."""

import numpy as np
import pytest
from PIL import Image

from app.imaging.decode import decode
from app.imaging.reading import ImageLimits
from app.imaging.sanitise import sanitise
from tests.pictures import encode

LIMITS = ImageLimits(bytes=10**7, pixels=10**7)


def blocks(colours: np.ndarray, block: int) -> np.ndarray:
    """Each of uint8 [H, W, 3] as a block of so many pixels."""
    return colours.repeat(block, axis=0).repeat(block, axis=1)


def test_squash_scales_each_side_for_itself() -> None:
    stripes = np.zeros((20, 40, 3), np.uint8)
    stripes[:, 20:] = 255
    decoded = decode(encode(stripes), 16)
    assert decoded.shape == (16, 16, 3)
    assert (decoded[:, :7] == 0).all()
    assert (decoded[:, 9:] == 255).all()


@pytest.mark.parametrize(
    ("width", "height", "across", "down"),
    [(16, 8, 16, 8), (8, 16, 8, 16), (16, 5, 16, 5), (32, 10, 16, 5), (900, 1, 16, 1)],
)
def test_pad_keeps_proportions_on_grey(width: int, height: int, across: int, down: int) -> None:
    decoded = decode(encode(Image.new("RGB", (width, height), (10, 200, 30))), 16, resize="pad")
    expected = np.full((16, 16, 3), 128)
    left, top = (16 - across) // 2, (16 - down) // 2
    expected[top : top + down, left : left + across] = (10, 200, 30)
    assert np.array_equal(decoded, expected)


def test_pad_changes_no_pixel_of_an_image_that_fits() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (10, 16, 3), dtype=np.uint8)
    decoded = decode(encode(picture), 16, resize="pad")
    assert np.array_equal(decoded[3:13], picture)
    assert (decoded[:3] == 128).all()
    assert (decoded[13:] == 128).all()


@pytest.mark.parametrize("turned", [False, True])
def test_crop_keeps_the_middle(turned: bool) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 26, 3), dtype=np.uint8)
    middle = picture[:, 5:21]
    if turned:
        picture, middle = picture.transpose(1, 0, 2), middle.transpose(1, 0, 2)
    assert np.array_equal(decode(encode(picture), 16, resize="crop"), middle)


def test_crop_scales_the_middle() -> None:
    # Blocks of 16 pixels: inside of one, far from the others, its colour is all that is filtered.
    colours = np.random.default_rng(1).integers(0, 256, (4, 8, 3), dtype=np.uint8)
    decoded = decode(encode(blocks(colours, 16)), 32, resize="crop")
    for row in range(4):
        for column in range(4):
            inner = decoded[8 * row + 2 : 8 * row + 6, 8 * column + 2 : 8 * column + 6]
            assert (inner == colours[row, column + 2]).all()


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
def test_a_square_of_the_size_is_not_touched(resize: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(decode(encode(picture), 16, resize=resize), picture)


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
@pytest.mark.parametrize("size", [(997, 331), (331, 997), (1200, 37)])
def test_a_jpeg_that_scales_while_decoding_has_the_same_geometry(
    size: tuple[int, int], resize: str
) -> None:
    # Each half in its own colour: what is off by more than a pixel differs by a hundred levels.
    width, height = size
    picture = np.full((height, width, 3), 40, np.uint8)
    picture[height // 2 :, :, 0] = 200
    picture[:, width // 2 :, 1] = 200
    jpeg, png = encode(picture, "JPEG", quality=95), encode(picture)
    by_jpeg, by_png = (decode(each, 32, resize=resize).astype(int) for each in (jpeg, png))
    assert np.abs(by_jpeg - by_png).mean() < 4
    assert np.array_equal(decode(sanitise(jpeg, LIMITS).data, 32, resize=resize), by_jpeg)
