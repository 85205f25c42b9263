"""Formats numbers and times for the terminal."""

from datetime import UTC, datetime


def percent(share: float | None) -> str:
    """Return a share in [0, 1] as a percentage; a dash for None."""
    return "-" if share is None else f"{100 * share:.1f} %"


def share_with_error(share: float | None, error: float | None) -> str:
    """Return a share in [0, 1] as a percentage with its standard error in points.

    An error of 0 is left out: where all images are right it is not known, and not zero.
    """
    shown = percent(share)
    return f"{shown} ± {100 * error:.1f}" if error is not None and error >= 0.0005 else shown


def forgetting(share: float | None) -> str:
    """Return a version's forgetting as a cell of a table: below zero it is a gain, and said so."""
    if share is None or not _is_gain(share):
        return percent(None if share is None else abs(share))
    return f"gain {percent(-share)}"


def forgetting_phrase(share: float) -> str:
    """Return a version's forgetting as a part of a sentence."""
    shown = forgetting(share)
    return f"{shown} on older tasks" if _is_gain(share) else f"forgetting {shown}"


def _is_gain(share: float) -> bool:
    return round(share, 3) < 0


def size(count: int) -> str:
    """Return a number of bytes with three digits and a decimal unit, from B to GB."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"


def utc(moment: datetime) -> str:
    """Return a time in UTC, to the second. The zone is for the text or the header around it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
