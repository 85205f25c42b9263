"""TIFF as people see it, or refused with a remedy."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from app.imaging.decode import canonical
from app.imaging.reading import ImageLimits, UnreadableImageError
from app.imaging.sanitise import sanitise
from tests.pictures import encode, pixels

LIMITS = ImageLimits(bytes=10**6, pixels=10**6)


def colours(bits: int) -> np.ndarray:
    """Noise that uses so many bits, [H, W, 3]."""
    return np.random.default_rng(0).integers(0, 1 << bits, (16, 24, 3)).astype(np.uint16)


def tiff(samples: np.ndarray, order: str = "<", **tags: tuple[int, ...]) -> bytes:
    """An uncompressed TIFF of 16-bit samples [H, W, channels], which Pillow does not write."""
    height, width, channels = samples.shape
    data = samples.astype(f"{order}u2").tobytes()
    named = {
        "planar": (284, 1),
        "photometric": (262, 2 if channels > 1 else 1),
        "extra": (338, 2) if channels == 4 else None,
        "tile_width": (322, *tags["tile_width"]) if "tile_width" in tags else None,
        "tile_length": (323, *tags["tile_length"]) if "tile_length" in tags else None,
    }
    fields = {
        256: (width,),
        257: (height,),
        258: (16,) * channels,
        259: (1,),
        273: (8,),
        277: (channels,),
        278: (height,),
        279: (len(data),),
    }
    for name, field in named.items():
        if field is not None:
            fields[field[0]] = tags.get(name, field[1:])
    after = 8 + len(data)
    entries, beyond = b"", b""
    place = after + 2 + 12 * len(fields) + 4
    for tag, values in sorted(fields.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            packed, beyond = struct.pack(f"{order}I", place + len(beyond)), beyond + packed
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", after)
    return head + data + struct.pack(f"{order}H", len(fields)) + entries + bytes(4) + beyond


def compressed(data: bytes) -> bytes:
    """The same TIFF, decoded by libtiff."""
    with Image.open(io.BytesIO(data)) as image:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        return encode(image, "TIFF", compression="tiff_lzw", tiffinfo=tags)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("bits", "shift"), [(8, 0), (12, 4), (16, 8)])
def test_16_bits_become_8_as_of_a_png(bits: int, shift: int, channels: int, order: str) -> None:
    samples = colours(bits)[..., [0, 1, 2, 0]][..., :channels]
    if channels == 4:
        samples[..., 3] = (1 << bits) - 1
    shown = np.asarray(canonical(tiff(samples, order), LIMITS))
    assert np.array_equal(shown, np.broadcast_to(samples[..., :3] >> shift, (16, 24, 3)))


def test_what_libtiff_decodes_is_as_deep() -> None:
    grey = Image.fromarray(colours(12)[..., 0])
    plain, packed = encode(grey, "TIFF"), encode(grey, "TIFF", compression="tiff_lzw")
    assert canonical(packed, LIMITS).tobytes() == canonical(plain, LIMITS).tobytes()
    assert canonical(plain, LIMITS).tobytes() == canonical(encode(grey), LIMITS).tobytes()


def test_the_first_page_counts() -> None:
    first = Image.fromarray(pixels())
    pages = encode(first, "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    assert canonical(pages, LIMITS).tobytes() == first.tobytes()


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_its_orientation_is_applied_once(compression: str | None) -> None:
    shown = Image.fromarray(pixels(24, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = shown.transpose(Image.Transpose.ROTATE_90)
    sent = encode(lying, "TIFF", exif=exif, compression=compression)
    assert canonical(sent, LIMITS).tobytes() == shown.tobytes()


def with_tag(tag: int, value: int, image: Image.Image | None = None) -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag] = value
    tags.tagtype[tag] = 4
    return encode(image or Image.fromarray(pixels()), "TIFF", tiffinfo=tags)


plain = encode(pixels(), "TIFF")
REFUSED = {
    "raw photograph: develop it": with_tag(50706, 0x01040000),
    "raw photograph: develop": with_tag(254, 1),
    "raw": plain[:4] + struct.pack("<I", len(plain)) + b"CR" + plain[10:] + plain[8:],
    "32 bits": encode(Image.fromarray(colours(12)[..., 0].astype(np.float32)), "TIFF"),
    "or a sign": with_tag(339, 2, Image.fromarray(pixels()).convert("L")),
    "a tile in the file has more than 1000000 pixels": tiff(
        colours(8), tile_width=(1000,), tile_length=(1001,)
    ),
    "zero is white": tiff(colours(12)[..., :1], photometric=(0,)),
    "separate channels": tiff(colours(12), planar=(2,)),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_would_be_misread_is_refused(said: str) -> None:
    with pytest.raises(UnreadableImageError, match=said):
        sanitise(REFUSED[said], LIMITS)
