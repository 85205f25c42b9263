"""A prediction beside its measurement."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What the model said and what came out."""

    what: str
    unit: str
    predicted: float
    measured: float

    @property
    def ratio(self) -> float:
        """Measured over predicted: 1 where the model is right."""
        return self.measured / self.predicted
