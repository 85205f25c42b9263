"""The query strings of predictions that the framework has found valid, with what they mean.

Clients send few different ones, over and over, and to validate one costs as much as all else that a
request needs of the event loop.
"""

from dataclasses import dataclass

from app.api.predict_views import PredictOptions

# Those beyond are validated each time. A client that invents them costs the others no memory.
_ENTRIES = 1000
_BYTES = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """What a query string asks for; the classifier is None where it does not name one."""

    classifier: str | None
    options: PredictOptions


class KnownQueries:
    """Remembers valid query strings by the template of their path. For one event loop."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, bytes], Asked] = {}

    def find(self, template: str, query: bytes) -> Asked | None:
        """Return what a query string means; None if it is not known to be valid."""
        return self._asked.get((template, query))

    def remember(self, template: str, query: bytes, asked: Asked) -> None:
        """Remember a query string that was found valid."""
        if len(query) > _BYTES:
            return
        if len(self._asked) >= _ENTRIES:
            self._asked.clear()
        self._asked[template, query] = asked
