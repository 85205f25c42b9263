"""The form of a key: ``acr_``, the id of its row, ``_``, and 256 random bits.

The id is not secret: it finds and names the key. Only a SHA-256 of the key is stored, without salt
and without a slow hash. Those protect passwords that people choose, which can be guessed; nobody
can guess 256 random bits, and a fast hash keeps the check of every request cheap.
"""

import hashlib
import hmac
import re
import secrets

from app.ids import new_id

_TOKEN = re.compile(r"acr_([0-9a-z]{24})_[A-Za-z0-9_-]{43}")
_ID_PREFIX = "key"


def new_token() -> tuple[str, str]:
    """Return the id of a new key, and the key."""
    key_id = new_id(_ID_PREFIX)
    return key_id, f"acr_{key_id.removeprefix(f'{_ID_PREFIX}_')}_{secrets.token_urlsafe(32)}"


def id_of(token: str) -> str | None:
    """Return the id in a key; None if the text is not a key."""
    found = _TOKEN.fullmatch(token)
    return f"{_ID_PREFIX}_{found[1]}" if found else None


def digest(token: str) -> str:
    """Return the hash of a key, which is all that is stored of it."""
    return hashlib.sha256(token.encode()).hexdigest()


def matches(token: str, stored: str) -> bool:
    """Say whether `stored` is the hash of the key, in constant time."""
    return hmac.compare_digest(digest(token), stored)
