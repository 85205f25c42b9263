"""Names of classes: any Unicode text that a person could have meant."""

import unicodedata
from collections.abc import Sequence

MAX_LABEL_LENGTH = 200


def clean_label(label: str) -> str:
    """Return the class name as it is kept: stripped, in composed form (NFC).

    Composed, because file systems disagree on how to write an accent and the class is the same.
    Raises ValueError with what is wrong.
    """
    cleaned = unicodedata.normalize("NFC", label).strip()
    if not cleaned:
        raise ValueError("a class name must not be empty")
    if len(cleaned) > MAX_LABEL_LENGTH:
        raise ValueError(f"a class name has at most {MAX_LABEL_LENGTH} characters")
    # Cc: control characters; Cs: halves of surrogate pairs, which no UTF-8 can hold.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in cleaned):
        raise ValueError("a class name must not hold control characters")
    return cleaned


def named(labels: Sequence[str], limit: int = 10) -> str:
    """Name the first few labels."""
    shown = ", ".join(repr(label) for label in labels[:limit])
    return shown if len(labels) <= limit else f"{shown} and {len(labels) - limit} more"
