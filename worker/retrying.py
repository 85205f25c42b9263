"""When a job whose attempt failed is tried again: exponential backoff with jitter."""

import random
from datetime import timedelta

from worker.protocol import Failure

_FIRST_SECONDS = 2.0
_LONGEST_SECONDS = 60.0
# Something that all jobs need did not answer. That says nothing about the job, so these attempts
# are not among its failures: with pauses of a minute they last for most of an hour.
_OUTAGES = frozenset({"storage-failed", "database-unavailable"})
_MAX_OUTAGES = 60
# The training process died. It took nothing else with it, so the next attempt starts at once.
_AT_ONCE = frozenset({"worker-lost"})


def is_outage(failure: Failure, outages: int) -> bool:
    """Say whether a failure counts as an outage, for a job that has had so many before."""
    return failure.code in _OUTAGES and outages < _MAX_OUTAGES


def pause(failure: Failure, tried: int) -> timedelta:
    """Return the pause before the next attempt, after `tried` failures and outages before.

    Half of it is random, so that the jobs of an outage do not all return at the same moment.
    """
    if failure.code in _AT_ONCE:
        return timedelta()
    # The exponent is bounded: 2.0 ** 1024 is no float.
    longest = min(_FIRST_SECONDS * 2.0 ** min(tried, 10), _LONGEST_SECONDS)
    return timedelta(seconds=random.uniform(longest / 2, longest))  # noqa: S311 - no secret
