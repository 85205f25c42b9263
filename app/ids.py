"""Prefixed, time-sortable identifiers (``job_…``, ``upl_…``)."""

import secrets
import threading
import time
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, in ASCII order
_TIME_BITS, _RANDOM_BITS = 48, 72
_lock = threading.Lock()
_last = 0


def _encode(value: int, digits: int) -> str:
    return "".join(_ALPHABET[(value >> (5 * digit)) & 31] for digit in reversed(range(digits)))


def _decode(text: str) -> int:
    value = 0
    for character in text:
        value = value << 5 | _ALPHABET.index(character)
    return value


def new_id(prefix: str, *, after: str | None = None) -> str:
    """Return ``prefix_`` and 24 characters that sort by time, strictly within a process.

    The id sorts after the id `after`, even if a process whose clock is ahead made that one.
    """
    global _last  # noqa: PLW0603 - guarded by the lock
    with _lock:
        stamp = max(time.time_ns() // 1_000_000, _last >> _RANDOM_BITS)
        value = _last = max(_stamped(stamp), _last + 1)
    if after is not None and value <= (before := _decode(after.rpartition("_")[2])):
        # The next millisecond, not the next number: another process may give out that number too.
        value = _stamped((before >> _RANDOM_BITS) + 1)
    return f"{prefix}_{_encode(value, (_TIME_BITS + _RANDOM_BITS) // 5)}"


def earliest(prefix: str, moment: datetime) -> str:
    """Return an id before all those that are made from a moment on."""
    stamp = max(0, int(moment.timestamp() * 1000))
    return f"{prefix}_{_encode(stamp << _RANDOM_BITS, (_TIME_BITS + _RANDOM_BITS) // 5)}"


def _stamped(stamp: int) -> int:
    return (stamp << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
