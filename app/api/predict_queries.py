"""The query strings of predictions that the framework has found valid, with what they mean.

Clients send few different ones, over and over, and to validate one costs as much as all else that a
request needs of the event loop.
"""

from dataclasses import dataclass

from app.api.predict_views import PredictOptions
from app.inference.lru import LruCache

# A client that invents query strings costs no memory, and those of others stay.
_ENTRIES = 1000
_BYTES = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """What a query string asks for; the classifier is None where it does not name one."""

    classifier: str | None
    options: PredictOptions


class KnownQueries:
    """Remembers valid query strings by the template of their path, the last ones used."""

    def __init__(self) -> None:
        self._asked: LruCache[tuple[str, bytes], Asked] = LruCache(_ENTRIES)

    def find(self, template: str, query: bytes) -> Asked | None:
        """Return what a query string means; None if it is not known to be valid."""
        return self._asked.get((template, query))

    def remember(self, template: str, query: bytes, asked: Asked) -> None:
        """Remember a query string that was found valid."""
        if len(query) <= _BYTES:
            self._asked.put((template, query), asked)
