"""Sound pixels are read whatever is wrong with what else a file holds, and no bomb is opened."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from app.imaging.decode import decode
from app.imaging.lean import lean
from app.imaging.reading import STORED, ImageLimits, UnreadableImageError
from app.imaging.sanitise import sanitise
from app.imaging.segments import png_chunk
from tests.app.imaging.test_imaging import KEPT, MADE_PNG, alpha, exif, picture
from tests.pictures import encode, jpeg, pixels, png

LIMITS = ImageLimits(bytes=10**8, pixels=10**6)
LARGE = 70 * 10**6
WRONG = b"\0\0\0\0"


def with_chunk(chunk: bytes, data: bytes | None = None) -> bytes:
    """A PNG with one more chunk after its header."""
    data = png() if data is None else data
    return data[:33] + chunk + data[33:]


def damaged(kind: bytes, content: bytes) -> bytes:
    return png_chunk(kind, content)[:-4] + WRONG


def texts(count: int) -> bytes:
    zipped = zlib.compress(bytes(2**20))
    chunk = png_chunk(b"zTXt", b"Comment\0\0" + zipped)
    return with_chunk(chunk * count)


def profile(content: bytes) -> bytes:
    return with_chunk(png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(content)))


def jpeg_with(marker: int, content: bytes) -> bytes:
    segment = struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
    return jpeg()[:2] + segment + jpeg()[2:]


def webp_with(chunk: bytes) -> bytes:
    """A WebP in its extended form, with a chunk at its end that the header announces."""
    body = bytearray(encode(alpha("RGB"), "WEBP", exif=exif(), lossless=True))
    at = body.index(b"EXIF")
    body[at:] = chunk
    body[4:8] = struct.pack("<I", len(body) - 8)
    return bytes(body)


SOUND: dict[str, tuple[Callable[[], bytes], Callable[[], bytes]]] = {
    "png, a large text": (
        lambda: with_chunk(png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(LARGE)))),
        png,
    ),
    "png, a large international text": (
        lambda: with_chunk(png_chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(LARGE)))),
        png,
    ),
    "png, large XMP": (
        lambda: with_chunk(
            png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(LARGE)))
        ),
        png,
    ),
    "png, many texts": (lambda: texts(70), png),
    "png, a large profile": (lambda: profile(bytes(LARGE)), png),
    "png, an unknown compression": (
        lambda: with_chunk(png_chunk(b"iCCP", b"icc\0\7nonsense")),
        png,
    ),
    "png, text of a key": (lambda: with_chunk(png_chunk(b"tEXt", b"transparency\0x")), png),
    "png, short pHYs": (lambda: with_chunk(png_chunk(b"pHYs", b"\0")), png),
    "png, short tRNS": (lambda: with_chunk(png_chunk(b"tRNS", b"\0")), png),
    **{
        f"png, wrong checksum of {kind.decode()}": (
            lambda kind=kind: with_chunk(damaged(kind, bytes(32))),
            png,
        )
        for kind in (b"tEXt", b"iTXt", b"gAMA", b"cHRM", b"eXIf", b"tRNS", b"acTL", b"prVt")
    },
    "png, text between its pixels": (
        lambda: split_pixels(png_chunk(b"tEXt", b"a\0b")),
        png,
    ),
    "png, cut after its pixels": (lambda: png()[:-12] + damaged(b"tEXt", b"a\0b")[:9], png),
    "png, without an end": (lambda: png()[:-12], png),
    "jpeg, short JFIF": (lambda: jpeg_with(0xE0, b"JFIF\0"), jpeg),
    "jpeg, short Adobe": (lambda: jpeg_with(0xEE, b"Adobe"), jpeg),
    "jpeg, short profile": (lambda: jpeg_with(0xE2, b"ICC_PROFILE\0"), jpeg),
    "jpeg, damaged EXIF": (lambda: jpeg_with(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"), jpeg),
    "jpeg, damaged MPF": (lambda: jpeg_with(0xE2, b"MPF\0MM\0*\0\0\0\x08\xff\xff"), jpeg),
    "jpeg, damaged Photoshop": (lambda: jpeg_with(0xED, b"Photoshop 3.0\x008BIM"), jpeg),
    "webp, damaged EXIF": (
        lambda: webp_with(b"EXIF" + struct.pack("<I", 4) + b"\xff" * 4),
        lambda: webp_with(b""),
    ),
    "webp, EXIF beyond the end": (
        lambda: webp_with(b"EXIF" + struct.pack("<I", 10**6) + b"\xff" * 4),
        lambda: webp_with(b""),
    ),
    "webp, a profile beyond the end": (
        lambda: webp_with(b"ICCP" + struct.pack("<I", 2**32 - 1) + b"\xff" * 4),
        lambda: webp_with(b""),
    ),
}


def split_pixels(chunk: bytes) -> bytes:
    """A PNG whose pixels come in two parts, with a chunk between them."""
    data = png()
    start = data.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">I", data, start)
    content = data[start + 8 : start + 8 + length]
    both = [png_chunk(b"IDAT", part) for part in (content[:50], content[50:])]
    return data[:start] + both[0] + chunk + both[1] + data[start + 12 + length :]


@pytest.mark.parametrize("name", SOUND)
def test_what_is_not_pixels_may_be_damaged(name: str) -> None:
    sent, plain = (make() for make in SOUND[name])
    expected = decode(plain, 16)
    assert np.array_equal(decode(sent, 16, LIMITS), expected)
    stored = sanitise(sent, LIMITS)
    assert np.array_equal(decode(stored.data, 16), expected)
    assert len(stored.data) < 10_000


def test_a_gif_with_large_comments() -> None:
    sent = encode(picture("P"), "GIF", comment=b"a" * 100_000)
    assert np.array_equal(decode(sent, 16), decode(encode(picture("P"), "GIF"), 16))


@pytest.mark.parametrize("name", [*KEPT, *MADE_PNG])
def test_a_lean_file_is_upright_and_stays_lean(name: str) -> None:
    data = KEPT[name][0]() if name in KEPT else MADE_PNG[name]()
    once = lean(data)
    assert lean(once) == once
    assert len(once) <= len(data)


def raw_profile() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", "\nexif\n8\n" + exif(6).tobytes().hex(), zip=True)
    return info


def xmp() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>', zip=True)
    return info


@pytest.mark.parametrize(
    "make",
    [
        lambda shown: encode(shown, exif=exif(6)),
        lambda shown: encode(shown, pnginfo=raw_profile()),
        lambda shown: encode(shown, pnginfo=xmp()),
        lambda shown: encode(shown, "WEBP", lossless=True, exif=exif(6)),
        lambda shown: encode(shown, "WEBP", lossless=True, xmp=b'<x tiff:Orientation="6"/>'),
    ],
)
def test_orientation_is_kept_wherever_it_was_looked_for(
    make: Callable[[np.ndarray], bytes],
) -> None:
    array = pixels(16, 16)
    # 6: the camera was turned so that the first row is shown as the right column.
    assert np.array_equal(decode(make(array), 16), np.rot90(array, -1))


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_truncated_pixels_stay_refused(form: str, cut: float) -> None:
    whole = encode(pixels(300, 200), form)
    with pytest.raises(UnreadableImageError):
        sanitise(whole[: int(len(whole) * cut)], LIMITS)


def test_the_limit_of_pixels_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pillow's own limit: it refuses more than twice as many.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = encode(Image.new("L", (100, 100), 9))
    with pytest.raises(UnreadableImageError, match="far too many pixels"):
        decode(data, 8)
    with pytest.raises(UnreadableImageError, match="more than 9999 pixels"):
        sanitise(data, ImageLimits(bytes=10**6, pixels=9999))
    assert sanitise(data, ImageLimits(bytes=10**6, pixels=10_000)).width == 100
    assert (decode(data, 8, STORED) == 9).all()
