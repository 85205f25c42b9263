"""Labels of classes and names of groups: any Unicode text without control characters."""

import unicodedata
from collections.abc import Sequence

MAX_LABEL_LENGTH = 200


def clean_label(label: str) -> str:
    """Return the label as it is stored: stripped, and normalised to NFC.

    File systems differ in how they write an accent; NFC makes the same class of both ways.
    Raises ValueError with what is wrong.
    """
    return _clean(label, "a class name")


def clean_group(group: str) -> str:
    """Return the name of a group as it is stored, as `clean_label` does. Raises ValueError."""
    return _clean(group, "the name of a group")


def _clean(name: str, what: str) -> str:
    cleaned = unicodedata.normalize("NFC", name).strip()
    if not cleaned:
        raise ValueError(f"{what} must not be empty")
    if len(cleaned) > MAX_LABEL_LENGTH:
        raise ValueError(f"{what} has at most {MAX_LABEL_LENGTH} characters")
    # Cc: control characters; Cs: halves of surrogate pairs, which no UTF-8 can hold.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in cleaned):
        raise ValueError(f"{what} must not hold control characters")
    return cleaned


def named(labels: Sequence[str], limit: int = 10) -> str:
    """Return the first `limit` labels, quoted, and how many more there are."""
    shown = ", ".join(repr(label) for label in labels[:limit])
    return shown if len(labels) <= limit else f"{shown} and {len(labels) - limit} more"
