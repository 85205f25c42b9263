"""Labels of classes: any Unicode text without control characters."""

import unicodedata
from collections.abc import Sequence

MAX_LABEL_LENGTH = 200


def clean_label(label: str) -> str:
    """Return the label as it is stored: stripped, and normalised to NFC.

    File systems differ in how they write an accent; NFC makes the same class of both ways.
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
    """Return the first `limit` labels, quoted, and how many more there are."""
    shown = ", ".join(repr(label) for label in labels[:limit])
    return shown if len(labels) <= limit else f"{shown} and {len(labels) - limit} more"
