"""Leaving out, before a file is opened, what says nothing about its pixels and may be damaged.

Texts, colour profiles, comments, thumbnails and animations go; what tells the orientation stays.
Nothing is refused here: from where a file's structure cannot be followed, it stays as it is.
"""

import struct
import zlib

from app.imaging.av1 import as_still
from app.imaging.segments import (
    PNG_PIXELS,
    PNG_SIGNATURE,
    STRUCTURE_ERRORS,
    WEBP_METADATA_FLAGS,
    WEBP_ORIENTATION,
    WEBP_PIXELS,
    defines_colours,
    is_metadata,
    png_chunk,
    png_chunks,
    riff,
)

# The texts of a PNG in which Pillow looks for an orientation, and how large they may become.
_PNG_TEXTS = (b"exif\0", b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
_MAX_TEXT = 2**20
# The fewest bytes of a PNG's tRNS, by the colour type in byte 25 of the file.
_COLOUR_TYPE_AT = 25
_SHORTEST_TRNS = {0: 2, 2: 6}
# What an APP1 segment that may have an orientation starts with.
_JPEG_ORIENTATION = (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0")
_SOI, _APP1 = b"\xff\xd8", 0xE1
# Markers without a length, and those of scans: the header has ended.
_HEADER_ENDS = (0x00, 0x01, *range(0xD0, 0xDB))
_WEBP_FRAMES = (b"ANIM", b"ANMF")


def lean(data: bytes) -> bytes:
    """Return the file without what is not needed to decode it upright. Never raises."""
    if data.startswith(PNG_SIGNATURE):
        return _png(data)
    if data.startswith(_SOI + b"\xff"):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return as_still(data)


def _png(data: bytes) -> bytes:
    kept = bytearray(PNG_SIGNATURE)
    followed = len(PNG_SIGNATURE)
    pixels_begun = False
    try:
        for kind, start, end in png_chunks(data):
            pixels_begun |= kind == b"IDAT"
            chunk = data[start:end]
            if (
                kind[:1].isupper()
                or (
                    _needed(kind, chunk[8:-4], data[_COLOUR_TYPE_AT])
                    # Pillow looks at no checksum after the pixels.
                    and (pixels_begun or chunk == png_chunk(kind, chunk[8:-4]))
                )
            ):
                kept += chunk
            followed = end
    except STRUCTURE_ERRORS:
        # Behind the pixels nothing is needed; whether they are whole, the decoder finds out.
        ended = pixels_begun and data[followed + 4 : followed + 8] != b"IDAT"
        kept += png_chunk(b"IEND", b"") if ended else data[followed:]
    return bytes(kept)


def _needed(kind: bytes, content: bytes, colour_type: int) -> bool:
    """Say whether an ancillary chunk of a PNG tells about its pixels or their orientation."""
    if kind == b"tRNS":
        return len(content) >= _SHORTEST_TRNS.get(colour_type, 0)
    if kind in (b"tEXt", b"zTXt", b"iTXt") and content.startswith(_PNG_TEXTS):
        text = content.split(b"\0", 1)[1]
        return len(text) <= _MAX_TEXT and not _inflates_beyond_limit(_compressed(kind, text))
    return kind in PNG_PIXELS or kind == b"eXIf"


def _compressed(kind: bytes, text: bytes) -> bytes:
    """Return the zlib stream of a text chunk's `text`, which follows its keyword; or nothing."""
    if kind == b"zTXt":
        return text[1:]  # after the method
    # A flag, the method, a language and a translated keyword come before.
    return text[2:].split(b"\0", 2)[-1] if kind == b"iTXt" and text[:1] != b"\0" else b""


def _inflates_beyond_limit(stream: bytes) -> bool:
    inflating = zlib.decompressobj()
    try:
        inflating.decompress(stream, _MAX_TEXT)
    except zlib.error:
        return False
    return bool(inflating.unconsumed_tail)


def _jpeg(data: bytes) -> bytes:
    kept = bytearray(_SOI)
    at = len(_SOI)
    # Decoders skip stray bytes before a marker, and fill bytes.
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 4:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _HEADER_ENDS or end < at + 4 or end > len(data):
            return bytes(kept + data[at:])
        segment = data[at:end]
        turned = marker == _APP1 and segment[4:].startswith(_JPEG_ORIENTATION)
        if not is_metadata(marker) or defines_colours(marker, segment) or turned:
            kept += segment
        at = end
    return data


def _webp(data: bytes) -> bytes:
    kept = bytearray(b"WEBP")
    last = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    at = 12
    pixels_seen = False
    flags = 0  # of the metadata that stays
    flags_at = None
    while at + 8 <= last:
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length
        if end > last:
            if kind in (*WEBP_PIXELS, *_WEBP_FRAMES) or not pixels_seen:
                return data
            break
        if kind == b"VP8X" and length >= 1:
            flags_at = len(kept) + 8
        if kind in (*WEBP_PIXELS, *_WEBP_FRAMES, *WEBP_ORIENTATION):
            kept += data[at:end] + b"\0" * (length % 2)
            flags |= WEBP_ORIENTATION.get(kind, 0)
        pixels_seen |= kind in (b"VP8 ", b"VP8L", b"ANMF")
        at = end + length % 2
    if flags_at is not None:
        kept[flags_at] &= flags | ~WEBP_METADATA_FLAGS
    return riff(kept)
