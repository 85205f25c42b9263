"""Which accuracy a version goes by: that on held-out images, or leaving one out where few are."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from app.db.tables import VersionClass

Use = Literal["held_out", "trained"]


class GoesByView(BaseModel):
    """The accuracy that a version, or a class of it, goes by, and what it rests on."""

    accuracy: float | None
    images: int
    standard_error: float | None
    used: Use = Field(description="`trained`: each image by all others.")

    @classmethod
    def of_version(cls, metrics: Mapping[str, Any]) -> Self:
        """Choose by a version's metrics as they are stored; older releases measured less.

        These have a leave-one-out accuracy only where few images are held out. With groups that one
        is too high, so that any held-out image says more.
        """
        images = metrics.get("measured_on") or 0
        left_out = metrics.get("leave_one_out")
        if left_out is None or (left_out["grouped"] and images):
            return cls(
                accuracy=metrics.get("accuracy"),
                images=images,
                standard_error=metrics.get("standard_error"),
                used="held_out",
            )
        return cls(
            accuracy=left_out["accuracy"],
            images=left_out["images"],
            standard_error=left_out["standard_error"],
            used="trained",
        )

    @classmethod
    def of_held_out(cls, known: VersionClass) -> Self:
        """Return what a class's held-out images tell."""
        return cls(
            accuracy=known.accuracy,
            images=known.measured_on or 0,
            standard_error=known.standard_error,
            used="held_out",
        )
