"""Metrics of the versions in memory and of how they are loaded."""

from collections.abc import Callable
from functools import partial
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from app.inference.cache import VersionCache
from models.engines.names import EngineName

ENGINES: tuple[EngineName, ...] = get_args(EngineName)
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class VersionMetrics:
    """Counts loads, and shows what the cache holds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._loaded = Gauge("accrue_loaded_versions", "Versions in memory.", registry=registry)
        self._bytes = Gauge(
            "accrue_model_memory_bytes", "Bytes of the versions in memory.", registry=registry
        )
        self._engines = Gauge(
            "accrue_engine_versions",
            "Versions in memory whose network the engine runs.",
            ("engine",),
            registry=registry,
        )
        self._budget = Gauge(
            "accrue_model_memory_limit_bytes",
            "Bytes of versions above which the least recently used are evicted.",
            registry=registry,
        )
        loads = Counter(
            "accrue_version_loads",
            "Versions that were loaded, or could not be.",
            ("outcome",),
            registry=registry,
        )
        self._done, self._failed = loads.labels("loaded"), loads.labels("failed")
        self._builds = Counter(
            "accrue_engine_builds",
            "Predictors that an engine runs from then on, or does not.",
            ("engine", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "accrue_version_load_seconds",
            "Seconds to load a version.",
            buckets=_SECONDS,
            registry=registry,
        )

    def observe(self, cache: VersionCache) -> None:
        """Set what a scrape reads. Call before the first scrape."""
        self._loaded.set_function(lambda: len(cache))
        self._bytes.set_function(lambda: cache.bytes)
        self._budget.set(cache.budget)
        for engine in ENGINES:
            self._engines.labels(engine).set_function(partial(_running, cache, engine))
        self._registry.register(
            _Total(
                "accrue_version_evictions",
                "Versions that made room for others.",
                lambda: cache.evictions,
            )
        )

    def count(self, seconds: float, loaded: bool) -> None:
        """Count a load. May be called in any thread."""
        (self._done if loaded else self._failed).inc()
        self._seconds.observe(seconds)

    def count_build(self, engine: str, taken: bool) -> None:
        """Count an engine that was tried. May be called in any thread."""
        self._builds.labels(engine, "taken" if taken else "refused").inc()


def _running(cache: VersionCache, engine: str) -> float:
    return cache.engines()[engine]


class _Total(Collector):
    """A counter that another part of the process counts."""

    def __init__(self, name: str, what: str, value: Callable[[], int]) -> None:
        self._name, self._what, self._value = name, what, value

    def collect(self) -> list[Metric]:
        """Return the counter with its value now."""
        return [CounterMetricFamily(self._name, self._what, value=self._value())]
