"""A prediction beside its measurement."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """A value that the model predicted, and its measurement."""

    what: str
    unit: str
    predicted: float
    measured: float

    @property
    def ratio(self) -> float:
        """Measured over predicted; 1 if the model is exact."""
        return self.measured / self.predicted
