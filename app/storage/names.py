"""Names that stores take: anything else could lead out of their folder."""

import re

_HASH = re.compile(r"[0-9a-f]{64}")
_DOCUMENT = re.compile(r"([A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+\.json")

DOCUMENTS = "documents"
INCOMING = "incoming"


def is_hash(name: str) -> bool:
    """Say whether a name is a SHA-256 in lower-case hex."""
    return _HASH.fullmatch(name) is not None


def place(sha256: str) -> str:
    """Return where a blob lies below the root: ``ab/cd/abcd…``, the same in every store.

    So that no folder grows too long to list, and a folder copied into a bucket is one.
    """
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def document(name: str) -> str:
    """Return where a document lies below the root. Raises ValueError."""
    if not _DOCUMENT.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a document")
    return f"{DOCUMENTS}/{name}"
