"""How many pixels an AVIF file makes its decoder decode.

The file names a size, which Pillow shows. Each AV1 picture in it names another, by which the
decoder takes memory: 3 kB may become a gigabyte. The structures are those of the AV1 Bitstream
Specification (5.3 to 5.5), HEIF (ISO/IEC 23008-12) and its container (ISO/IEC 14496-12).
"""

import struct
from collections.abc import Iterator

_STILL, _SEQUENCE = b"ftypavif", b"ftypavis"
# Parts of an AV1 picture, of which it has a few.
_MOST_OBUS = 1000
_SEQUENCE_HEADER = 1


def as_still(data: bytes) -> bytes:
    """Return an AVIF file as one of its still picture, which programs without animations show."""
    return data[:4] + _STILL + data[12:] if data[4:12] == _SEQUENCE else data


def decoded_pixels(data: bytes) -> int:
    """Return the pixels of the largest AV1 picture in an AVIF file.

    Raises ValueError, LookupError or struct.error where its structure cannot be followed.
    """
    metas = [(start, end) for kind, start, end in _boxes(data, 0, len(data)) if kind == b"meta"]
    sizes = [
        _size(header)
        for start, end in metas
        for picture in _pictures(data, start + 4, end)
        for header in _sequence_headers(picture)
    ]
    return max(width * height for width, height in sizes)


def _boxes(data: bytes, at: int, last: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box, and where its content starts and ends."""
    while at < last:
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = at + size if size else last
        if not start <= end <= last:
            raise ValueError("a box extends beyond the one around it")
        yield kind, start, end
        at = end


def _pictures(data: bytes, at: int, last: int) -> Iterator[bytes]:
    """Yield the AV1 pictures that the content of a meta box names."""
    boxes = {kind: (start, end) for kind, start, end in _boxes(data, at, last)}
    kinds = _kinds(data, *boxes[b"iinf"])
    inside, _ = boxes.get(b"idat", (0, 0))
    for item, is_inside, extents in _locations(data, boxes[b"iloc"][0]):
        if kinds.get(item) == b"av01":
            base = inside if is_inside else 0
            if sum(length for _, length in extents) > len(data):
                raise ValueError("the parts of a picture overlap")
            yield b"".join(
                data[base + offset : base + offset + length if length else None]
                for offset, length in extents
            )


def _kinds(data: bytes, at: int, last: int) -> dict[int, bytes]:
    """Return the kind of each item by its number, of an item information box."""
    at += 4 + (2 if data[at] == 0 else 4)
    kinds = {}
    for _, start, _ in _boxes(data, at, last):
        number, _, kind = struct.unpack_from(
            ">HH4s" if data[start] == 2 else ">IH4s", data, start + 4
        )
        kinds[number] = kind
    return kinds


def _locations(data: bytes, at: int) -> Iterator[tuple[int, bool, list[tuple[int, int]]]]:
    """Yield of each item its number, whether it is in the meta box, and offsets and lengths."""
    version = data[at]
    fields = _Bytes(data, at + 4)
    sizes = fields.take(2)
    offset_size, length_size, base_size, index_size = (
        sizes >> shift & 15 for shift in (12, 8, 4, 0)
    )
    wide = 4 if version == 2 else 2
    for _ in range(fields.take(wide)):
        number = fields.take(wide)
        is_inside = version > 0 and fields.take(2) & 15 == 1
        fields.take(2)
        base = fields.take(base_size)
        extents = []
        for _ in range(fields.take(2)):
            fields.take(index_size if version > 0 else 0)
            extents.append((base + fields.take(offset_size), fields.take(length_size)))
        yield number, is_inside, extents


class _Bytes:
    """Reads numbers of whole bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def take(self, size: int) -> int:
        end = self._at + size
        if end > len(self._data):
            raise ValueError("the file ends early")
        number = int.from_bytes(self._data[self._at : end], "big")
        self._at = end
        return number


def _sequence_headers(picture: bytes) -> Iterator[bytes]:
    at = 0
    for _ in range(_MOST_OBUS):
        if at >= len(picture):
            return
        header = picture[at]
        at += 2 if header & 4 else 1
        length = len(picture) - at
        if header & 2:
            length = shift = 0
            while True:
                byte = picture[at]
                length |= (byte & 127) << shift
                shift += 7
                at += 1
                if byte < 128:
                    break
        if header >> 3 & 15 == _SEQUENCE_HEADER:
            yield picture[at : at + length]
        at += length
    raise ValueError("too many parts")


class _Bits:
    """Reads numbers of some bits."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, bits: int) -> int:
        self._left -= bits
        if self._left < 0:
            raise ValueError("the file ends early")
        return self._number >> self._left & ((1 << bits) - 1)

    def skip_variable(self) -> None:
        """Skip a number of variable length (uvlc)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        self.take(zeros if zeros < 32 else 0)


def _size(header: bytes) -> tuple[int, int]:
    """Return the largest width and height that a sequence header allows."""
    bits = _Bits(header[:1024])
    bits.take(4)  # profile, still picture
    if bits.take(1):  # the short form for still pictures
        bits.take(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.skip_variable()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(42)
    display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if display_delay and bits.take(1):
            bits.take(4)
