"""The stored form of an image decodes to exactly the same pixels as the sent one."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image, PngImagePlugin

from app.imaging import rules
from app.imaging.decode import canonical, decode
from app.imaging.reading import ImageLimits, UnreadableImageError
from app.imaging.sanitise import SanitisedImage, sanitise
from tests.pictures import encode, jpeg, pixels, png

LIMITS = ImageLimits(bytes=10**7, pixels=10**6)
SECRET = b"taken at home"
# A picture of 48 by 32 pixels; `turned` has it lying on its side, with the turn that puts it right.
HEIC_FILES = Path(__file__).parent / "heic"


def picture(mode: str, width: int = 70, height: int = 50) -> Image.Image:
    return Image.fromarray(pixels(width, height)).convert(mode)


def alpha(mode: str) -> Image.Image:
    result = picture(mode)
    ramp = np.linspace(0, 255, 70 * 50).astype(np.uint8).reshape(50, 70)
    result.putalpha(Image.fromarray(ramp))
    return result


def exif(orientation: int = 1) -> Image.Exif:
    result = Image.Exif()
    result[0x0112] = orientation
    result[0x010E] = SECRET.decode()
    return result


def text() -> PngImagePlugin.PngInfo:
    result = PngImagePlugin.PngInfo()
    result.add_text("Comment", SECRET.decode())
    return result


def sixteen_bit() -> Image.Image:
    return Image.fromarray(pixels(70, 50)[..., 0].astype(np.uint16) * 257)


def frames(form: str, **options: Any) -> bytes:
    first, second = picture("RGB"), Image.new("RGB", (70, 50), "red")
    return encode(first, form, save_all=True, append_images=[second], duration=50, **options)


def adobe_cmyk() -> bytes:
    return encode(picture("CMYK"), "JPEG")


def restarted() -> bytes:
    return encode(picture("RGB"), "JPEG", restart_marker_blocks=2)


KEPT: dict[str, tuple[Callable[[], bytes], str]] = {
    "jpeg": (lambda: encode(picture("RGB"), "JPEG"), "image/jpeg"),
    "jpeg grey": (lambda: encode(picture("L"), "JPEG"), "image/jpeg"),
    "jpeg progressive": (lambda: encode(picture("RGB"), "JPEG", progressive=True), "image/jpeg"),
    "jpeg 4:4:4": (lambda: encode(picture("RGB"), "JPEG", subsampling=0), "image/jpeg"),
    "jpeg of RGB": (lambda: encode(picture("RGB"), "JPEG", keep_rgb=True), "image/jpeg"),
    "jpeg restarts": (restarted, "image/jpeg"),
    "jpeg exif": (lambda: encode(picture("RGB"), "JPEG", exif=exif()), "image/jpeg"),
    "jpeg comment": (lambda: encode(picture("RGB"), "JPEG", comment=SECRET), "image/jpeg"),
    "jpeg profile": (lambda: encode(picture("RGB"), "JPEG", icc_profile=SECRET), "image/jpeg"),
    "jpeg large": (lambda: encode(picture("RGB", 700, 500), "JPEG"), "image/jpeg"),
    "jpeg and more": (lambda: encode(picture("RGB"), "JPEG") + SECRET, "image/jpeg"),
    "jpeg grey, turned": (lambda: encode(picture("L"), "JPEG", exif=exif(6)), "image/jpeg"),
    **{
        f"jpeg turned {turn}": (
            lambda turn=turn: encode(picture("RGB"), "JPEG", exif=exif(turn)),
            "image/jpeg",
        )
        for turn in range(2, 9)
    },
    "large jpeg turned": (
        lambda: encode(picture("RGB", 700, 500), "JPEG", exif=exif(6)),
        "image/jpeg",
    ),
    "mpo": (lambda: frames("MPO"), "image/jpeg"),
    "png": (lambda: encode(picture("RGB")), "image/png"),
    "png grey": (lambda: encode(picture("L")), "image/png"),
    "png grey alpha": (lambda: encode(alpha("L")), "image/png"),
    "png 1 bit": (lambda: encode(picture("1")), "image/png"),
    "png palette": (lambda: encode(picture("P")), "image/png"),
    "png palette alpha": (lambda: encode(picture("P"), transparency=3), "image/png"),
    "png palette alphas": (
        lambda: encode(picture("P"), transparency=bytes(range(200))),
        "image/png",
    ),
    "png grey key": (lambda: encode(picture("L"), transparency=90), "image/png"),
    "png colour key": (lambda: encode(picture("RGB"), transparency=(9, 9, 9)), "image/png"),
    "png alpha": (lambda: encode(alpha("RGB")), "image/png"),
    "png 16 bits": (lambda: encode(sixteen_bit()), "image/png"),
    "png 16 bits, key": (lambda: encode(sixteen_bit(), transparency=257 * 90), "image/png"),
    "png 16 bits, turned": (lambda: encode(sixteen_bit(), exif=exif(6)), "image/png"),
    "animated png": (lambda: frames("PNG"), "image/png"),
    "animated png, default": (lambda: frames("PNG", default_image=True), "image/png"),
    "png text": (lambda: encode(picture("RGB"), pnginfo=text()), "image/png"),
    "png exif": (lambda: encode(picture("RGB"), exif=exif()), "image/png"),
    "png profile": (lambda: encode(picture("RGB"), icc_profile=SECRET), "image/png"),
    "webp": (lambda: encode(picture("RGB"), "WEBP"), "image/webp"),
    "webp lossless": (lambda: encode(picture("RGB"), "WEBP", lossless=True), "image/webp"),
    "webp alpha": (lambda: encode(alpha("RGB"), "WEBP"), "image/webp"),
    "webp exif": (lambda: encode(picture("RGB"), "WEBP", exif=exif()), "image/webp"),
    "webp xmp, profile": (
        lambda: encode(alpha("RGB"), "WEBP", xmp=SECRET, icc_profile=SECRET),
        "image/webp",
    ),
    "1 by 1": (lambda: encode(picture("RGB", 1, 1), "JPEG"), "image/jpeg"),
    "1 by 900": (lambda: encode(picture("RGB", 1, 900)), "image/png"),
}

HEIC: dict[str, Callable[[], bytes]] = {
    "heic": (HEIC_FILES / "plain.heic").read_bytes,
    "heic turned": (HEIC_FILES / "turned.heic").read_bytes,
    "heic 10 bits": (HEIC_FILES / "deep.heic").read_bytes,
}

MADE_PNG: dict[str, Callable[[], bytes]] = {
    "jpeg CMYK, turned": lambda: encode(picture("CMYK"), "JPEG", exif=exif(6)),
    "png turned": lambda: encode(picture("RGB"), exif=exif(6)),
    "png alpha, turned": lambda: encode(alpha("RGB"), exif=exif(6)),
    "webp turned": lambda: encode(picture("RGB"), "WEBP", exif=exif(8)),
    "jpeg CMYK": adobe_cmyk,
    "large jpeg CMYK": lambda: encode(picture("CMYK", 700, 500), "JPEG"),
    "bmp": lambda: encode(picture("RGB"), "BMP"),
    "bmp grey": lambda: encode(picture("L"), "BMP"),
    "bmp palette": lambda: encode(picture("P"), "BMP"),
    "gif": lambda: encode(picture("P"), "GIF"),
    "gif key": lambda: encode(picture("P"), "GIF", transparency=3),
    "animated gif": lambda: frames("GIF"),
    "animated webp": lambda: frames("WEBP"),
    "tiff": lambda: encode(picture("RGB"), "TIFF", exif=exif()),
    "tiff compressed": lambda: encode(picture("RGB"), "TIFF", compression="tiff_lzw"),
    "tiff turned": lambda: encode(picture("RGB"), "TIFF", exif=exif(6)),
    "tiff 16 bits": lambda: encode(sixteen_bit(), "TIFF", exif=exif(6)),
    "tiff alpha": lambda: encode(alpha("RGB"), "TIFF"),
    "tiff CMYK": lambda: encode(picture("CMYK"), "TIFF"),
    "tiff of pages": lambda: frames("TIFF"),
    "jpeg 2000": lambda: encode(picture("RGB"), "JPEG2000"),
    "jpeg 2000, 16 bits": lambda: encode(sixteen_bit(), "JPEG2000"),
    "jpeg 2000 without a container": lambda: encode(picture("L"), "JPEG2000", no_jp2=True),
    "avif": lambda: encode(picture("RGB"), "AVIF", exif=exif(), xmp=SECRET),
    "avif turned": lambda: encode(picture("RGB"), "AVIF", exif=exif(6)),
    "avif alpha": lambda: encode(alpha("RGB"), "AVIF"),
    "animated avif": lambda: frames("AVIF"),
    **HEIC,
}


def assert_same_pixels(sent: bytes, stored: SanitisedImage) -> None:
    for size in (8, 32, 100):
        for rule in (rules.FIRST, rules.CURRENT):
            for resize in ("squash", "pad", "crop"):
                form = {"resize": resize, "rules": rule}
                assert np.array_equal(decode(sent, size, **form), decode(stored.data, size, **form))
    assert canonical(sent).size == (stored.width, stored.height)
    assert canonical(sent).tobytes() == canonical(stored.data).tobytes()
    with Image.open(io.BytesIO(stored.data)) as image:
        assert image.get_format_mimetype() == stored.media_type
    again = sanitise(stored.data, LIMITS)
    assert again == stored
    assert sanitise(sent, LIMITS) == stored


@pytest.mark.parametrize("name", KEPT)
def test_a_file_is_kept_without_its_metadata(name: str) -> None:
    make, media_type = KEPT[name]
    sent = make()
    stored = sanitise(sent, LIMITS)
    assert stored.media_type == media_type
    assert SECRET not in stored.data
    assert_same_pixels(sent, stored)
    assert len(stored.data) <= len(sent)


@pytest.mark.parametrize("name", MADE_PNG)
def test_what_cannot_be_kept_becomes_a_png(name: str) -> None:
    sent = MADE_PNG[name]()
    stored = sanitise(sent, LIMITS)
    assert stored.media_type == "image/png"
    assert SECRET not in stored.data
    with Image.open(io.BytesIO(stored.data)) as image:
        assert image.mode in ("RGB", "RGBA")
    assert_same_pixels(sent, stored)


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_rotation_is_applied(turn: int) -> None:
    shown = Image.fromarray(pixels(16, 16))
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[turn]
    as_taken = shown if undo is None else shown.transpose(undo)
    sent = encode(as_taken, exif=exif(turn))
    assert np.array_equal(decode(sent, 16), np.array(shown))


def test_decode_at_its_own_size_changes_nothing() -> None:
    array = pixels(32, 32)
    decoded = decode(encode(array), 32)
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    assert np.array_equal(decoded, array)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header is well-formed but wrong about the image."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(300)))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def jpeg_of_height(data: bytes, height: int) -> bytes:
    """The same JPEG with another height in its frame header."""
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[: frame + 5] + struct.pack(">H", height) + data[frame + 7 :]


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9"/></svg>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
FITS = b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =                    8".ljust(80)

REFUSED: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"not an image",
    "svg": lambda: SVG,
    "eps": lambda: EPS,
    "fits": lambda: FITS.ljust(2880),
    "ico": lambda: encode(picture("RGB"), "ICO"),
    "ppm": lambda: encode(picture("RGB"), "PPM"),
    "half a png": lambda: png()[: len(png()) // 2],
    "half a jpeg": lambda: jpeg()[: len(jpeg()) // 2],
    "half a jpeg with an end": lambda: jpeg(0, 200, 200)[:-1000] + b"\xff\xd9",
    "half a gif": lambda: encode(picture("P"), "GIF")[:900],
    "half a bmp": lambda: encode(picture("RGB"), "BMP")[:900],
    "half a webp": lambda: encode(picture("RGB"), "WEBP", lossless=True)[:900],
    "half a tiff": lambda: encode(picture("RGB"), "TIFF")[:900],
    "half a jpeg 2000": lambda: encode(picture("RGB"), "JPEG2000")[:900],
    "nearly all of an avif": lambda: encode(picture("RGB"), "AVIF")[:-50],
    "nearly all of a heic": lambda: HEIC["heic"]()[:-50],
    "png that lies": lambda: png_of_size(500, 500),
    "jpeg that lies": lambda: jpeg_of_height(jpeg(0, 64, 64), 200),
    "progressive jpeg that lies": lambda: jpeg_of_height(jpeg(0, 64, 64, progressive=True), 200),
    "jpeg with restarts that lies": lambda: jpeg_of_height(restarted(), 200),
    "too many pixels": lambda: encode(Image.new("1", (1001, 1000))),
    "a bomb": lambda: png_of_size(60_000, 60_000),
    "no pixels": lambda: png_of_size(0, 5),
    "too many bytes": lambda: png() + bytes(10**7),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_on_is_refused(name: str) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        sanitise(REFUSED[name](), LIMITS)
    assert str(caught.value)


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(UnreadableImageError, match="pixels"):
        sanitise(png_of_size(5000, 5000), LIMITS)
    with pytest.raises(UnreadableImageError, match="pixels"):
        decode(png_of_size(5000, 5000), 32, LIMITS)


SEEDS = [
    KEPT[name][0]()
    for name in (
        *("jpeg exif", "jpeg turned 6", "jpeg progressive", "png palette alphas"),
        "webp xmp, profile",
    )
]
SEEDS += [
    MADE_PNG[name]()
    for name in (
        *("bmp palette", "animated gif", "animated webp", "jpeg CMYK", "tiff compressed"),
        *("jpeg 2000", "avif alpha", "heic turned"),
    )
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    cut=st.floats(0, 1),
)
def test_damaged_files_are_refused_or_read_alike(
    seed: bytes, changes: list[tuple[float, int]], cut: float
) -> None:
    damaged = bytearray(seed if cut < 0.5 else seed[: int(len(seed) * cut)])
    for place, value in changes:
        damaged[int(place * len(damaged))] = value
    try:
        stored = sanitise(bytes(damaged), LIMITS)
    except UnreadableImageError:
        return
    assert_same_pixels(bytes(damaged), stored)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_way(data: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        sanitise(data, LIMITS)
    with pytest.raises(UnreadableImageError):
        decode(data, 32)
