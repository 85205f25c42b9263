"""Formats numbers and times for the terminal."""

from datetime import UTC, datetime


def percent(share: float | None) -> str:
    """Return a share in [0, 1] as a percentage; a dash for None."""
    return "-" if share is None else f"{100 * share:.1f} %"


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
