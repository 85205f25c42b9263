"""Stripping metadata: copy only those segments of a file from which its pixels are decoded.

EXIF, XMP, colour profiles, comments and thumbnails are dropped. Each function raises one of
`STRUCTURE_ERRORS` when it cannot follow the file's structure.
"""

import re
import struct

# IndexError and struct.error: the file ends early.
STRUCTURE_ERRORS = (ValueError, IndexError, struct.error)

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")

_WEBP_KEPT = (b"VP8X", b"ALPH", b"VP8 ", b"VP8L")
# Bits of VP8X that announce a colour profile, EXIF and XMP.
_WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_APP0, _APP14, _APP15 = 0xE0, 0xEE, 0xEF
# Arithmetically coded frames, after whose scans no bytes can be inserted.
_ARITHMETIC = range(0xC9, 0xD0)
# A marker inside a scan, other than a stuffed zero, a restart or a fill byte.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def strip_jpeg(data: bytes) -> tuple[bytes, list[int]]:
    """Drop application segments, comments and everything after the image.

    JFIF and Adobe segments stay: they define the colour coding. Also return the positions in the
    result at which the data of each scan ends.
    """
    if data[:2] != bytes((0xFF, _SOI)):
        raise ValueError("not a JPEG")
    kept = bytearray(data[:2])
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


def _kept_segment(marker: int, segment: bytes) -> bytes:
    if marker == _APP0 and segment[4:9] == b"JFIF\0" and len(segment) >= 18:
        # Without its thumbnail.
        return struct.pack(">BBH", 0xFF, _APP0, 16) + segment[4:16] + b"\0\0"
    if marker == _APP14 and segment[4:9] == b"Adobe":
        return segment
    if _APP0 <= marker <= _APP15 or marker == _COM:
        return b""
    return segment


def strip_png(data: bytes) -> bytes:
    """Drop all chunks except those that define the pixels."""
    if not data.startswith(_PNG_SIGNATURE):
        raise ValueError("not a PNG")
    kept = bytearray(_PNG_SIGNATURE)
    at = len(_PNG_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length  # length, kind, data, checksum
        if end > len(data):
            raise ValueError("a chunk extends beyond the file")
        if kind in _PNG_KEPT:
            kept += data[at:end]
        elif kind[:1].isupper():
            raise ValueError("an unknown critical chunk")
        at = end
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
        if kind in _WEBP_KEPT:
            chunk = bytearray(data[at:end])
            if kind == b"VP8X":
                chunk[8] &= ~_WEBP_METADATA_FLAGS
            kept += chunk + b"\0" * (length % 2)
        at = end + length % 2
    return b"RIFF" + struct.pack("<I", len(kept)) + bytes(kept)
