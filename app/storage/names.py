"""Names that stores accept: any other could lead out of their folder (path traversal)."""

import re

_HASH = re.compile(r"[0-9a-f]{64}")
_DOCUMENT = re.compile(r"([A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+\.json")

DOCUMENTS = "documents"
INCOMING = "incoming"


def is_hash(name: str) -> bool:
    """Say whether a name is a SHA-256 in lower-case hex."""
    return _HASH.fullmatch(name) is not None


def path_of(sha256: str) -> str:
    """Return a blob's path below the root: ``ab/cd/abcd…``.

    It keeps folders short, and is the same in every store, so that a folder can be copied into a
    bucket.
    """
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def path_of_document(name: str) -> str:
    """Return a document's path below the root. Raises ValueError."""
    if not _DOCUMENT.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a document")
    return f"{DOCUMENTS}/{name}"
