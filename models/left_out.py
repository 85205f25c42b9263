"""Leave-one-out accuracy: what stands in where too few images are held out to measure on."""

from collections.abc import Mapping
from typing import Any

from models.standard_errors import binomial
from models.version_warnings import FEW_HELD_OUT


def accuracy(report: Mapping[str, Any], held_out: int, *, grouped: bool) -> dict[str, Any] | None:
    """Return the leave-one-out accuracy in a method's `report`, with what it rests on.

    None where `held_out` images are enough, or where the method cannot leave images out. `grouped`:
    some training images have groups. A left-out image is then judged by others of its group, so
    that the accuracy is too high and its standard error not known.
    """
    found = report.get("leave_one_out")
    if found is None or held_out >= FEW_HELD_OUT:
        return None
    share, images = found["accuracy"], found["images"]
    return {
        "accuracy": share,
        "images": images,
        "standard_error": None if grouped else binomial(share, images),
        "grouped": grouped,
    }
