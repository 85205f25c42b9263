"""Prefixed, time-sortable identifiers (``job_…``, ``upl_…``)."""

import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, in ASCII order
_TIME_BITS, _RANDOM_BITS = 48, 72
_lock = threading.Lock()
_last = 0


def _encode(value: int, digits: int) -> str:
    return "".join(_ALPHABET[(value >> (5 * place)) & 31] for place in reversed(range(digits)))


def new_id(prefix: str) -> str:
    """Return ``prefix_`` and 24 characters that sort by time, strictly so within a process."""
    global _last  # noqa: PLW0603 - the clock's last reading, guarded by the lock
    with _lock:
        stamp = max(time.time_ns() // 1_000_000, _last >> _RANDOM_BITS)
        value = (stamp << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
        _last = max(value, _last + 1)
        value = _last
    return f"{prefix}_{_encode(value, (_TIME_BITS + _RANDOM_BITS) // 5)}"
