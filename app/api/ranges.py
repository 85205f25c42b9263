"""Byte ranges (RFC 9110, 14): one range of a file whose size is known."""

import re

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class UnsatisfiableRangeError(Exception):
    """The range has no byte of the file."""


def asked_for(header: str | None, size: int) -> tuple[int, int] | None:
    """Return from where to before where is asked for; None for the whole.

    So are ranges that are none or several, as the standard allows. Raises UnsatisfiableRangeError.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or found[1] == found[2] == "":
        return None
    start, end = 0, size
    if found[1] == "":  # the last so many bytes
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
