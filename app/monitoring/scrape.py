"""The metric families of one scrape."""

from collections.abc import Sequence

from prometheus_client import Metric
from prometheus_client.registry import Collector


class Scrape(Collector):
    """Families that were made for this scrape."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        """Return every family."""
        return self._families
