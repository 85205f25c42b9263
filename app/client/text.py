"""How numbers look in a terminal."""


def percent(share: float | None) -> str:
    """Return a share of 1 as a percentage; a dash where nothing was measured."""
    return "-" if share is None else f"{100 * share:.1f} %"


def size(count: int) -> str:
    """Return a number of bytes in the largest decimal unit that keeps it above one."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} GB"
