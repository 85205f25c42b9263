"""Metrics of the requests that one process answers.

No label takes a value that a client chooses, so the number of series is bounded.
"""

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram

# Clients may send any method: all others are counted together.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Answered(NamedTuple):
    """An answer that has begun: its request, and its status."""

    # The template of the route's path; None if no route matches.
    route: str | None
    method: str
    status: int
    # The code of the problem document; None if the answer is not one.
    problem: str | None


class HttpMetrics:
    """Counts requests by route, method and status class, and measures their seconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "accrue_http_requests",
            "Requests answered, by route, method and class of status.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "accrue_http_request_seconds",
            "Seconds from a request's headers to the headers of its answer.",
            ("route", "method"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._problems = Counter(
            "accrue_http_problems",
            "Answers that are problem documents, by status and code.",
            ("status", "code"),
            registry=registry,
        )
        # Cached, since finding a series by its labels costs several times as much as counting.
        self._cached: dict[Answered, Callable[[float], None]] = {}

    def count(self, answered: Answered, seconds: float) -> None:
        """Count an answer that began `seconds` after its request."""
        if answered.method not in _METHODS:
            answered = answered._replace(method="other")
        if answered not in self._cached:
            self._cached[answered] = self._counting(answered)
        self._cached[answered](seconds)

    def _counting(self, answered: Answered) -> Callable[[float], None]:
        """Return a function that counts answers of this kind."""
        route, method = answered.route or "none", answered.method
        observe = self._seconds.labels(route, method).observe
        counters = [self._requests.labels(route, method, f"{answered.status // 100}xx")]
        if answered.problem is not None:
            counters.append(self._problems.labels(str(answered.status), answered.problem))

        def count(seconds: float) -> None:
            observe(seconds)
            for counter in counters:
                counter.inc()

        return count
