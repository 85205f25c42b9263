"""What a key looks like: ``acr_``, the id of its row, ``_``, and 256 random bits.

The id is no secret: by it a key is found and named. Of the whole only a SHA-256 is stored, without
salt and without a slow hash. Those are for what people choose, which can be guessed; nobody guesses
256 random bits, and a fast hash keeps the check cheap for every request.
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
    """Return the id that a key names, None for what is no key at all."""
    found = _TOKEN.fullmatch(token)
    return f"{_ID_PREFIX}_{found[1]}" if found else None


def digest(token: str) -> str:
    """Return what is stored of a key."""
    return hashlib.sha256(token.encode()).hexdigest()


def matches(token: str, stored: str) -> bool:
    """Say whether it is the key that `stored` was made of, in a time that does not depend on it."""
    return hmac.compare_digest(digest(token), stored)
