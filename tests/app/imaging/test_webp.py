"""Re-encoding to WebP."""

import numpy as np

from app.imaging.decode import decode
from app.imaging.reading import STORED
from app.imaging.sanitise import sanitise
from app.imaging.webp import WebP
from tests.pictures import encode, pixels


def test_the_same_pixels_give_the_same_bytes_and_quality_costs_some() -> None:
    picture = pixels(32, 32)
    assert WebP(quality=50).encode(picture) == WebP(quality=50).encode(picture.copy())
    sizes = [len(WebP(quality=quality).encode(picture)) for quality in (0, 75, 100)]
    assert sizes == sorted(set(sizes))
    assert sizes[1] < len(encode(picture))


def test_a_file_shows_nearly_what_was_encoded() -> None:
    picture = pixels(32, 32)
    shown = decode(WebP(quality=90).encode(picture), 32)
    assert np.abs(shown.astype(int) - picture).mean() < 5


def test_a_file_has_nothing_that_sanitising_would_take_away() -> None:
    data = WebP(quality=75).encode(pixels(32, 32))
    assert sanitise(data, STORED).data == data
