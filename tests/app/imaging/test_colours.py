"""16-bit samples and transparency become 8-bit RGB so that nothing visible is lost."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.imaging.decode import canonical, decode
from app.imaging.reading import ImageLimits
from app.imaging.rules import CURRENT, FIRST
from app.imaging.sanitise import sanitise
from app.imaging.segments import png_chunk
from tests.pictures import encode, pixels

LIMITS = ImageLimits(bytes=10**7, pixels=10**6)
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def png16(samples: np.ndarray, *chunks: bytes) -> bytes:
    """A 16-bit PNG of uint16 [H, W, channels], written by hand; `chunks` come before the pixels."""
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in samples)
    body = png_chunk(b"IHDR", header) + b"".join(chunks)
    body += png_chunk(b"IDAT", zlib.compress(lines)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def ramp(bits: int, channels: int) -> np.ndarray:
    """Samples from 0 to the largest of so many bits, uint16 [16, 16, channels]."""
    values = np.linspace(0, 2**bits - 1, 256 * channels).round().astype(np.uint16)
    return values.reshape(16, 16, channels)


def shown(data: bytes, **form: Any) -> np.ndarray:
    """The decoded pixels at their own size, which must be those of what is stored too."""
    size = canonical(data).width
    decoded = decode(data, size, **form)
    assert np.array_equal(decode(sanitise(data, LIMITS).data, size, **form), decoded)
    return decoded


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_upper_eight_of_the_bits_in_use_are_shown(bits: int, channels: int) -> None:
    samples = ramp(bits, channels)
    expected = np.broadcast_to(samples // 2 ** (bits - 8), (16, 16, 3))
    assert np.array_equal(shown(png16(samples)), expected)
    # The first rules, by which older versions were trained, show the upper eight of sixteen.
    old = np.broadcast_to(samples // 256, (16, 16, 3))
    assert np.array_equal(shown(png16(samples), rules=FIRST), old)


@pytest.mark.parametrize(("largest", "divisor"), [(1023, 4), (1024, 16), (4096, 64), (16384, 256)])
def test_the_scale_is_a_power_of_two(largest: int, divisor: int) -> None:
    samples = np.full((4, 4, 1), largest, np.uint16)
    assert (shown(png16(samples)) == largest // divisor).all()


def test_the_declared_bits_keep_a_dark_image_dark() -> None:
    dark = ramp(9, 1)
    assert np.array_equal(shown(png16(dark))[..., :1], dark // 4)
    # The camera's values as they are, of which the file says that they have 12 bits.
    declared = png16(dark, png_chunk(b"sBIT", b"\x0c"))
    assert np.array_equal(shown(declared)[..., :1], dark // 16)
    # As the PNG specification has it: the values are the upper 12 bits.
    upper = png16(ramp(14, 1) // 16 * 16, png_chunk(b"sBIT", b"\x0c"))
    assert np.array_equal(shown(upper)[..., :1], ramp(14, 1) // 256)
    # All 16 bits are said to count.
    full = png16(dark, png_chunk(b"sBIT", b"\x10"))
    assert np.array_equal(shown(full)[..., :1], dark // 256)


def test_a_dark_image_that_had_eight_bits_stays_dark() -> None:
    dark = np.arange(9, dtype=np.uint16).reshape(3, 3, 1)
    assert np.array_equal(shown(png16(dark * 257))[..., :1], dark)


@pytest.mark.parametrize("opaque", [4095, 65535])
@pytest.mark.parametrize("channels", [2, 4])
def test_sixteen_bit_alpha(channels: int, opaque: int) -> None:
    samples = ramp(12, channels)
    samples[..., -1] = 0
    samples[:8, :, -1] = opaque
    expected = np.broadcast_to(samples[..., :-1] // 16, (16, 16, 3)).copy()
    expected[8:] = 255  # white
    assert np.array_equal(shown(png16(samples)), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sixteen_bit_key_is_compared_whole(channels: int) -> None:
    samples = np.full((2, 2, channels), 0x0102, np.uint16)
    samples[0, 0] = 0x0103
    samples[1, 1] = 0x0FFF
    key = png_chunk(b"tRNS", struct.pack(">H", 0x0103) * channels)
    expected = np.full((2, 2, 3), 0x0102 // 16)
    expected[0, 0], expected[1, 1] = 255, 255
    assert np.array_equal(shown(png16(samples, key)), expected)


def logo(colour: tuple[int, int, int], mode: str = "RGBA") -> Image.Image:
    """A disc of one colour on nothing."""
    rows, columns = np.mgrid[:32, :32]
    inside = (rows - 16) ** 2 + (columns - 16) ** 2 < 100
    picture = np.zeros((32, 32, 4), np.uint8)
    picture[inside] = (*colour, 255)
    return Image.fromarray(picture).convert(mode)


def forms(colour: tuple[int, int, int]) -> dict[str, bytes]:
    white = logo(colour)
    indexed = Image.fromarray(np.asarray(white)[..., 3] // 255)
    indexed.putpalette([1, 2, 3, *colour])
    files = {
        "png": encode(white),
        "webp": encode(white, "WEBP", lossless=True),
        "palette": encode(indexed, transparency=0),
        "gif": encode(indexed, "GIF", transparency=0),
        "grey": encode(white.convert("LA")),
        "key": encode(Image.fromarray(np.asarray(white)[..., :3]), transparency=(0, 0, 0)),
    }
    alpha = np.asarray(white).astype(np.uint16) * 257
    return {**files, "16 bits": png16(alpha)}


@pytest.mark.parametrize("form", forms((255, 255, 255)))
@pytest.mark.parametrize(("level", "background"), [(255, 128), (224, 128), (223, 255), (20, 255)])
def test_what_white_would_hide_is_laid_on_grey(form: str, level: int, background: int) -> None:
    data = forms((level,) * 3)[form]
    decoded = shown(data)
    inside = np.asarray(logo((level,) * 3))[..., 3] == 255
    assert (decoded[inside] == level).all()
    assert (decoded[~inside] == background).all()
    old = shown(data, rules=FIRST)
    assert (old[~inside] == 255).all()


@pytest.mark.parametrize(("white", "background"), [(89, 255), (90, 128)])
def test_grey_needs_nine_tenths_of_what_is_visible(white: int, background: int) -> None:
    picture = np.zeros((20, 20, 4), np.uint8)
    cells = picture.reshape(-1, 4)
    cells[:100] = (200, 0, 0, 255)
    cells[:white] = (250, 240, 230, 255)
    decoded = decode(encode(picture), 20)
    assert (decoded.reshape(-1, 3)[100:] == background).all()


def test_parts_count_by_their_alpha() -> None:
    # 8 white pixels beside 8 red ones that are hardly visible: 8 · 255 of 8 · 255 + 8 · 20.
    picture = np.zeros((4, 8, 4), np.uint8)
    picture[0] = (255, 255, 255, 255)
    picture[1] = (200, 0, 0, 20)
    assert (shown(encode(picture.repeat(2, axis=0)))[-1] == 128).all()


def test_alpha_is_laid_over_white() -> None:
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    assert (shown(encode(clear)) == 255).all()
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert (shown(encode(half)) == 127).all()


def test_the_colours_of_cmyk_are_not_inverted() -> None:
    array = pixels(64, 64)
    sent = encode(Image.fromarray(array).convert("CMYK"), "JPEG", quality=98)
    assert b"Adobe" in sent
    assert np.abs(shown(sent).astype(int) - array).mean() < 2


def test_the_current_rules_are_the_default() -> None:
    data = forms((255, 255, 255))["png"]
    assert np.array_equal(decode(data, 32), decode(data, 32, rules=CURRENT))
    assert not np.array_equal(decode(data, 32), decode(data, 32, rules=FIRST))
