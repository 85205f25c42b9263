"""Stripping metadata: copy only those segments of a file from which its pixels are decoded.

EXIF, XMP, colour profiles, comments and thumbnails are dropped. Each function raises one of
`STRUCTURE_ERRORS` when it cannot follow the file's structure.
"""

import re
import struct
import zlib
from collections.abc import Iterator

# IndexError and struct.error: the file ends early.
STRUCTURE_ERRORS = (ValueError, IndexError, struct.error)

# The EXIF orientation of an image that is stored as it is shown.
UPRIGHT = 1
# EXIF in big-endian byte order, with one entry that follows: tag, type, count, value. The entry
# ends with two zeros and the offset of a next directory, 0: there is none.
_EXIF_HEADER = b"MM\0*" + struct.pack(">IH", 8, 1)
_EXIF_ORIENTATION = struct.Struct(">HHIHHI")
_ORIENTATION_TAG, _SHORT = 0x0112, 3

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# sBIT: how many of the bits of 16 are used.
PNG_PIXELS = (b"IHDR", b"sBIT", b"PLTE", b"tRNS", b"IDAT", b"IEND")

WEBP_PIXELS = (b"VP8X", b"ALPH", b"VP8 ", b"VP8L")
# Metadata that may have an orientation, and the bits of VP8X that announce it.
WEBP_ORIENTATION = {b"EXIF": 0x08, b"XMP ": 0x04}
# The same with a colour profile.
WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_APP0, _APP1, _APP14, _APP15 = 0xE0, 0xE1, 0xEE, 0xEF
# Arithmetically coded frames, after whose scans no bytes can be inserted.
_ARITHMETIC = range(0xC9, 0xD0)
# A marker inside a scan, other than a stuffed zero, a restart or a fill byte.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def strip_jpeg(data: bytes, turned: int = UPRIGHT) -> tuple[bytes, list[int]]:
    """Drop application segments, comments and everything after the image; state its orientation.

    JFIF and Adobe segments stay: they define the colour coding. Also return the positions in the
    result at which the data of each scan ends.
    """
    if data[:2] != bytes((0xFF, _SOI)):
        raise ValueError("not a JPEG")
    kept = bytearray(data[:2])
    if turned != UPRIGHT:
        content = b"Exif\0\0" + _exif(turned)
        kept += struct.pack(">BBH", 0xFF, _APP1, 2 + len(content)) + content
    scan_ends: list[int] = []
    at = 2
    while True:
        # Stray bytes before a marker and fill bytes are skipped, as decoders do.
        at = data.index(b"\xff", at)
        while data[at + 1] == 0xFF:
            at += 1
        marker = data[at + 1]
        if marker == _EOI:
            return bytes(kept + data[at : at + 2]), scan_ends
        if marker in _ARITHMETIC:
            raise ValueError("arithmetic coding")
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise ValueError("a segment extends beyond the file")
        kept += _kept_segment(marker, data[at:end])
        at = end
        if marker == _SOS:
            found = _END_OF_SCAN.search(data, at)
            if found is None:
                raise ValueError("a scan does not end")
            kept += data[at : found.start()]
            scan_ends.append(len(kept))
            at = found.start()


def _exif(turned: int) -> bytes:
    """Return EXIF that says nothing but an orientation."""
    return _EXIF_HEADER + _EXIF_ORIENTATION.pack(_ORIENTATION_TAG, _SHORT, 1, turned, 0, 0)


def _kept_segment(marker: int, segment: bytes) -> bytes:
    if not is_metadata(marker):
        return segment
    if not defines_colours(marker, segment):
        return b""
    if marker == _APP0:  # without its thumbnail
        return struct.pack(">BBH", 0xFF, _APP0, 16) + segment[4:16] + b"\0\0"
    return segment


def is_metadata(marker: int) -> bool:
    """Say whether a JPEG's marker begins an application segment or a comment."""
    return _APP0 <= marker <= _APP15 or marker == _COM


def defines_colours(marker: int, segment: bytes) -> bool:
    """Say whether an application segment of a JPEG defines its colour coding, as libjpeg sees it.

    `segment` begins with the marker and the length.
    """
    if marker == _APP0:
        return segment[4:9] == b"JFIF\0" and len(segment) >= 4 + 14
    return marker == _APP14 and segment[4:9] == b"Adobe" and len(segment) >= 4 + 12


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of each chunk of a PNG, to its end."""
    if not data.startswith(PNG_SIGNATURE):
        raise ValueError("not a PNG")
    at = len(PNG_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length  # length, kind, data, checksum
        if end > len(data):
            raise ValueError("a chunk extends beyond the file")
        if not kind.isalpha():
            raise ValueError("not a chunk")
        yield kind, at, end
        at = end


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def strip_png(data: bytes, turned: int = UPRIGHT) -> bytes:
    """Drop all chunks except those that define the pixels, and state their EXIF orientation."""
    kept = bytearray(PNG_SIGNATURE)
    for kind, start, end in png_chunks(data):
        if kind in PNG_PIXELS:
            kept += data[start:end]
        elif kind[:1].isupper():
            raise ValueError("an unknown critical chunk")
        if kind == b"IHDR" and turned != UPRIGHT:
            kept += png_chunk(b"eXIf", _exif(turned))
    return bytes(kept)


def strip_webp(data: bytes) -> bytes:
    """Drop all chunks of a still WebP except those that define the pixels."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("not a WebP")
    (size,) = struct.unpack_from("<I", data, 4)
    last = 8 + size
    if last > len(data):
        raise ValueError("a chunk extends beyond the file")
    kept = bytearray(b"WEBP")
    at = 12
    while at < last:
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length
        if end > last:
            raise ValueError("a chunk extends beyond the file")
        if kind in WEBP_PIXELS:
            chunk = bytearray(data[at:end])
            if kind == b"VP8X":
                chunk[8] &= ~WEBP_METADATA_FLAGS
            kept += chunk + b"\0" * (length % 2)
        at = end + length % 2
    return riff(kept)


def riff(content: bytes | bytearray) -> bytes:
    """Return a RIFF file of this content, which begins with its form."""
    return b"RIFF" + struct.pack("<I", len(content)) + bytes(content)
