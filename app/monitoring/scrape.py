"""The metric families of one scrape."""

from collections.abc import Iterator, Sequence
from itertools import chain

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector


class Scrape(Collector):
    """The families of a registry, followed by those made for this scrape."""

    def __init__(self, registry: CollectorRegistry, families: Sequence[Metric]) -> None:
        self._registry = registry
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        return chain(self._registry.collect(), self._families)
