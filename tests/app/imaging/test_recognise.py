"""Bytes are named by what they are, not by their name."""

import io
from pathlib import Path

import pytest
from PIL import Image

from app.imaging.reading import ImageLimits, UnreadableImageError
from app.imaging.recognise import is_image, recognise
from app.imaging.sanitise import sanitise
from tests.pictures import jpeg, png

LIMITS = ImageLimits(bytes=10**6, pixels=10**6)
HEIC = Path(__file__).parent / "heic"


def encoded(form: str) -> bytes:
    packed = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(packed, form)
    return packed.getvalue()


READ = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000"]


@pytest.mark.parametrize("form", READ)
def test_formats_that_are_read(form: str) -> None:
    assert is_image(encoded(form))


@pytest.mark.parametrize("name", ["plain.heic", "deep.heic", "turned.heic"])
def test_heic_is_read(name: str) -> None:
    assert is_image((HEIC / name).read_bytes())


UNREAD = {
    "TIFF": encoded("TIFF")[:8],
    "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "AVIF": encoded("AVIF")[:40],
}


@pytest.mark.parametrize("said", UNREAD)
def test_kinds_that_are_not_read_are_named(said: str) -> None:
    with pytest.raises(UnreadableImageError, match="damaged or of a kind that is not read: conv"):
        sanitise(UNREAD[said], LIMITS)
    assert said in str(recognise(UNREAD[said]))


OTHERS = {
    "icon": encoded("ICO"),
    "PNM": encoded("PPM"),
    "PDF": encoded("PDF"),
    "video": b"\0\0\0\x20ftypisom\0\0\x02\0",
    "JPEG XL": b"\xff\x0a\xfa\x0b",
    "archive": b"PK\x03\x04\x14\0",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "SVG": b'<?xml version="1.0"?>\n<!-- by a program -->\n<svg xmlns="http://www.w3.org/2000/svg">',
    "web page": b"\n<!DOCTYPE html>\n<html><body>Not found</body></html>",
    "base64": b"iVBORw0KGgoAAAANSUhEUgAA",
    "line ends": png().replace(b"\r\n", b"\n"),
    "--data-binary": png().replace(b"\r", b"").replace(b"\n", b""),
    "read as text": png().decode(errors="replace").encode(),
    "which damages it": jpeg().decode("latin-1").encode(),
}


@pytest.mark.parametrize("said", OTHERS)
def test_other_formats_are_named_with_a_remedy(said: str) -> None:
    assert not is_image(OTHERS[said])
    with pytest.raises(UnreadableImageError, match=r"not an image in JPEG, .* but .*") as caught:
        sanitise(OTHERS[said], LIMITS)
    assert said in str(caught.value)
    assert ": " in str(caught.value)


def test_a_jpeg_that_curl_sent_as_text() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    of_camera = io.BytesIO()
    Image.new("RGB", (64, 64)).save(of_camera, "JPEG", exif=exif)
    for sent in (jpeg(0, 64, 64), of_camera.getvalue()):
        with pytest.raises(UnreadableImageError, match=r"line ends were left out: .*--data-binary"):
            sanitise(sent.translate(None, delete=b"\r\n\0"), LIMITS)
        with pytest.raises(UnreadableImageError, match="the image is damaged or truncated"):
            sanitise(sent[:600], LIMITS)


@pytest.mark.parametrize("data", [b"notes", b"\0" * 20, b"BM is a text"])
def test_what_is_not_known_is_not_guessed(data: bytes) -> None:
    assert not is_image(data)
    assert recognise(data) is None
