"""libjpeg-turbo gives the pixels that Pillow gives, or leaves the file to Pillow."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from app.imaging import turbo
from app.imaging.decode import decode
from app.imaging.reading import ImageLimits, UnreadableImageError, opened
from app.imaging.sanitise import sanitise
from tests.pictures import encode, jpeg, pixels

LIMITS = ImageLimits(bytes=10**7, pixels=10**7)
FORMS: dict[str, dict[str, Any]] = {
    "usual": {},
    "best": {"quality": 100, "subsampling": 0},
    "colours halved across": {"subsampling": 1},
    "progressive": {"progressive": True},
    "progressive, colours whole": {"progressive": True, "subsampling": 0},
    "optimised": {"optimize": True},
    "restarts": {"restart_marker_blocks": 3},
    "rgb": {"keep_rgb": True},
    "poor": {"quality": 5},
}


def by_pillow(data: bytes, drafted: tuple[int, int]) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.draft(None, drafted)
        return np.array(image)


def by_turbo(data: bytes, drafted: tuple[int, int]) -> np.ndarray | None:
    with opened(data, LIMITS) as image:
        image.draft(None, drafted)
        return turbo.pixels(image)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(640, 427), (333, 501), (17, 9), (8, 8), (1, 1)])
@pytest.mark.parametrize("drafted", [(1000, 1000), (200, 200), (100, 70), (40, 40), (3, 3)])
def test_the_same_pixels_at_every_scale(
    form: str, size: tuple[int, int], drafted: tuple[int, int]
) -> None:
    noise = np.random.default_rng(3).integers(-40, 41, (size[1], size[0], 3))
    picture = np.clip(pixels(*size) + noise, 0, 255).astype(np.uint8)
    data = encode(picture, "JPEG", **FORMS[form])
    found = by_turbo(data, drafted)
    assert found is not None
    assert np.array_equal(found, by_pillow(data, drafted))


def flawed(change: Callable[[bytearray], None]) -> bytes:
    data = bytearray(jpeg(width=120, height=90, quality=90))
    change(data)
    return bytes(data)


def cut_short(data: bytearray) -> None:
    del data[len(data) * 2 // 3 :]


def without_an_end(data: bytearray) -> None:
    del data[-2:]


def bits_in_the_middle(data: bytearray) -> None:
    middle = len(data) * 2 // 3
    data[middle : middle + 4] = b"\x13\x37\x13\x37"


def rows_missing(data: bytearray) -> None:
    del data[len(data) * 2 // 3 : -2]


FLAWS = [cut_short, without_an_end, bits_in_the_middle, rows_missing]


@pytest.mark.parametrize("flaw", FLAWS)
def test_flawed_files_are_pillows(flaw: Callable[[bytearray], None]) -> None:
    data = flawed(flaw)
    try:
        expected = by_pillow(data, (200, 200))
    except OSError:
        with pytest.raises(UnreadableImageError):
            decode(data, 200)
        return
    found = by_turbo(data, (200, 200))
    assert found is None or np.array_equal(found, expected)


def test_what_is_not_three_colours_is_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = encode(Image.fromarray(pixels(90, 70)).convert("L"), "JPEG")
    cmyk = encode(Image.fromarray(pixels(90, 70)).convert("CMYK"), "JPEG")
    turned = jpeg(
        width=90,
        height=70,
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    )
    files = [grey, cmyk, turned]
    stored = [sanitise(data, LIMITS).data for data in files]
    before = [decode(data, 64) for data in files]

    def never(_image: ImageFile.ImageFile) -> None:
        raise AssertionError("not by Pillow")

    monkeypatch.setattr(turbo, "pixels", never)
    for sent, kept, expected in zip(files, stored, before, strict=True):
        assert np.array_equal(decode(sent, 64), expected)
        assert np.array_equal(decode(kept, 64), expected)


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
@pytest.mark.parametrize("side", [32, 64, 100])
@pytest.mark.parametrize("rules", [1, 2, 3])
def test_squares_do_not_depend_on_who_decodes(
    resize: Any, side: int, rules: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(pixels(333, 241), "JPEG", quality=80)
    fast = decode(data, side, resize=resize, rules=rules)
    monkeypatch.setattr(turbo, "pixels", lambda _image: None)
    assert np.array_equal(fast, decode(data, side, resize=resize, rules=rules))


@pytest.mark.parametrize("form", ["usual", "progressive", "restarts", "best"])
def test_damaged_files_are_judged_as_ever(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut anywhere, with and without an end, and with bytes changed."""
    draw = np.random.default_rng(7)
    noise = draw.integers(-20, 21, (60, 80, 3))
    picture = np.clip(pixels(80, 60) + noise, 0, 255).astype(np.uint8)
    whole = encode(picture, "JPEG", **FORMS[form])
    cuts = range(150, len(whole), max(1, len(whole) // 40))
    files = [whole[:cut] + end for cut in cuts for end in (b"", b"\xff\xd9")]
    for _ in range(60):
        changed = bytearray(whole)
        changed[draw.integers(20, len(whole))] = draw.integers(256)
        files.append(bytes(changed))

    def judged(data: bytes) -> object:
        try:
            return sanitise(data, LIMITS)
        except UnreadableImageError as error:
            return str(error)

    found = [judged(data) for data in files]
    monkeypatch.setattr(turbo, "pixels", lambda _image: None)
    assert found == [judged(data) for data in files]
    assert len({type(each) for each in found}) == 2
