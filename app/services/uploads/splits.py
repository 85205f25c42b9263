"""Splits of a data set by the names that people and tools give them."""

from app.services.uploads.sources import Split

_NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "val", "valid", "validation", "eval"), "test"),
}


def split_named(name: str) -> Split | None:
    """Return the split that a folder, a file or a cell names; None for any other name.

    What others validate with is only measured on here, as test images are.
    """
    return _NAMES.get(name.strip().lower())
