"""How a request names a version: by its number or by an alias."""

import re

# The alias that `/predict` serves unless the request names another version.
LIVE = "live"

_NUMBER = re.compile(r"[0-9]{1,9}")


def is_number(reference: str) -> bool:
    """Say whether a reference to a version is its number; otherwise it is an alias."""
    return _NUMBER.fullmatch(reference) is not None
