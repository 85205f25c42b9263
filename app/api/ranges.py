"""Byte ranges (RFC 9110, 14): one range of a file of known size."""

import re

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class UnsatisfiableRangeError(Exception):
    """The range contains no byte of the file."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the range as (start, end) with `end` excluded; None for the whole file.

    Invalid and multiple ranges mean the whole file, as the standard allows. Raises
    UnsatisfiableRangeError.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or found[1] == found[2] == "":
        return None
    start, end = 0, size
    if found[1] == "":  # suffix range: the last bytes
        start = max(size - int(found[2]), 0)
    else:
        start = int(found[1])
        if found[2]:
            end = min(int(found[2]) + 1, size)
            if int(found[2]) < start:
                return None
    if start >= end:
        raise UnsatisfiableRangeError
    return start, end
