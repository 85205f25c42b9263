"""Which row of the table to choose, and why."""

from collections.abc import Sequence
from typing import NamedTuple

from models.advice.rows import Row

# With fewer images, differences of several points are chance.
_FEW = 200


class Recommendation(NamedTuple):
    """The position of the row that is recommended, and why in plain sentences."""

    row: int
    why: str


def recommend(rows: Sequence[Row]) -> Recommendation | None:
    """Return the row to choose; None where the accuracy of none is known.

    Of those within one standard error of the best, it is one that forgets exactly, if there is one;
    of these, the one whose predictions are fastest, then the one that keeps the least.
    """
    measured = [row for row in rows if row.accuracy is not None]
    if not measured:
        return None
    best = max(measured, key=_accuracy)
    margin = best.standard_error or 0.0
    near = [row for row in measured if _accuracy(row) >= _accuracy(best) - margin]
    chosen = min(near, key=lambda r: (bool(r.residual), r.prediction_seconds, r.bytes_per_class))
    return Recommendation(rows.index(chosen), f"{_got(chosen)} {_compared(chosen, best, near)}")


def warnings(rows: Sequence[Row]) -> list[str]:
    """Return what the table's reader should know of its figures."""
    errors = [row for row in rows if row.standard_error is not None]
    if not errors:
        return ["Nothing could be measured: send two images or more of at least two classes."]
    first = errors[0]
    if first.measured_on >= _FEW:
        return []
    points = 100 * 2 * (first.standard_error or 0.0)
    return [
        f"The accuracies rest on {first.measured_on} images only, so that differences of less than "
        f"{points:.0f} points may be chance. Send more images to be surer."
    ]


def _accuracy(row: Row) -> float:
    return row.accuracy or 0.0


def _got(row: Row) -> str:
    named = row.candidate.named
    return (
        f"{named[0].upper()}{named[1:]} gets {100 * _accuracy(row):.1f} % of "
        f"{row.measured_on} images right."
    )


def _compared(chosen: Row, best: Row, near: Sequence[Row]) -> str:
    forgets = "" if chosen.residual else ", and it can forget a class exactly"
    if len(near) == 1:
        return f"No other is within one standard error of that{forgets}."
    fastest = chosen.prediction_seconds == min(row.prediction_seconds for row in near)
    quickest = "predicts fastest" if fastest else "is the one to choose"
    if not chosen.residual and any(row.residual for row in near):
        quickest = "can forget a class exactly"
    elif not chosen.residual:
        quickest += " (all of them can forget a class exactly)"
    if chosen is best:
        return (
            f"That is the best. Of the {len(near)} within one standard error of it, it {quickest}."
        )
    points = 100 * (_accuracy(best) - _accuracy(chosen))
    error = 100 * (best.standard_error or 0.0)
    return (
        f"The best, {best.candidate.named}, gets {points:.1f} points more, which is within its "
        f"standard error of {error:.1f}; of the {len(near)} that are, {chosen.candidate.named} "
        f"{quickest}."
    )
