"""Files without their metadata: the segments that pixels are decoded from, byte for byte.

Each function raises one of `STRUCTURE_ERRORS` when it cannot follow the file's structure.
"""

import re
import struct

# A file that ends early is noticed by whatever reads on.
STRUCTURE_ERRORS = (ValueError, IndexError, struct.error)

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")

_WEBP_KEPT = (b"VP8X", b"ALPH", b"VP8 ", b"VP8L")
# Bits of VP8X that announce a colour profile, EXIF and XMP.
_WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_APP0, _APP14, _APP15 = 0xE0, 0xEE, 0xEF
# Frames coded arithmetically: what follows their scans is not free to change.
_ARITHMETIC = range(0xC9, 0xD0)
# A marker inside a scan, other than a stuffed zero, a restart or a fill byte.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def strip_jpeg(data: bytes, *, after_scan: bytes = b"") -> bytes:
    """Drop application segments, comments and what follows the image.

    JFIF and Adobe segments stay: they say how the colours are coded. `after_scan` is put behind
    each scan's data.
    """
    if data[:2] != bytes((0xFF, _SOI)):
        raise ValueError("no JPEG")
    kept = bytearray(data[:2])
    at = 2
    while True:
        # Stray bytes before a marker are skipped, as decoders do; so are fill bytes.
        at = data.index(b"\xff", at)
        while data[at + 1] == 0xFF:
            at += 1
        marker = data[at + 1]
        if marker == _EOI:
            return bytes(kept + data[at : at + 2])
        if marker in _ARITHMETIC:
            raise ValueError("arithmetic coding")
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise ValueError("a segment leaves the file")
        kept += _kept_segment(marker, data[at:end])
        at = end
        if marker == _SOS:
            found = _END_OF_SCAN.search(data, at)
            if found is None:
                raise ValueError("a scan does not end")
            kept += data[at : found.start()] + after_scan
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
    """Keep the chunks that pixels come from; colour profiles, text and times go."""
    if not data.startswith(_PNG_SIGNATURE):
        raise ValueError("no PNG")
    kept = bytearray(_PNG_SIGNATURE)
    at = len(_PNG_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length  # length, kind, data, checksum
        if end > len(data):
            raise ValueError("a chunk leaves the file")
        if kind in _PNG_KEPT:
            kept += data[at:end]
        elif kind[:1].isupper():
            raise ValueError("a critical chunk that is not known")
        at = end
    return bytes(kept)


def strip_webp(data: bytes) -> bytes:
    """Keep the picture's chunks of a still WebP."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("no WebP")
    (size,) = struct.unpack_from("<I", data, 4)
    last = 8 + size
    if last > len(data):
        raise ValueError("a chunk leaves the file")
    kept = bytearray(b"WEBP")
    at = 12
    while at < last:
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length
        if end > last:
            raise ValueError("a chunk leaves the file")
        if kind in _WEBP_KEPT:
            chunk = bytearray(data[at:end])
            if kind == b"VP8X":
                chunk[8] &= ~_WEBP_METADATA_FLAGS
            kept += chunk + b"\0" * (length % 2)
        at = end + length % 2
    return b"RIFF" + struct.pack("<I", len(kept)) + bytes(kept)
