"""Requests a second: predicts those of a large network from those of a small one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.capacity.checks import Check
from benchmarks.capacity.model import Serving
from benchmarks.serving.load import Cost
from benchmarks.serving.network import bare
from benchmarks.serving.own import published
from benchmarks.serving.workloads import SMALL

_REQUESTS = 4000


def measure() -> tuple[Serving, list[Check]]:
    """Return the constants for resnet32, and their checks with one core and 32 clients."""
    with _clients_apart() as cores:
        forward, served = _serve("convnet", cores)
        around = served.cpu_ms - served.main_thread_ms - forward
        larger, busy = _serve("resnet32", cores)
    model = Serving(served.main_thread_ms, around, larger)
    return model, [
        Check("CPU of a request, resnet32", "ms", model.request_ms, busy.cpu_ms),
        Check(
            "requests of 32 clients, one core",
            "1/s",
            model.requests_per_second(len(cores)),
            busy.per_second,
        ),
    ]


def _serve(backbone: str, cores: set[int]) -> tuple[float, Cost]:
    """Return the CPU milliseconds of a bare forward an image, and what requests cost."""
    with published(replace(SMALL, backbone=backbone)) as own:
        before = bare(own.spec, own.state)
        served = own.cost(_REQUESTS, cores=cores)
        # Before and after, because the machine's speed drifts during a run.
        return (before + bare(own.spec, own.state)) / 2, served


@contextmanager
def _clients_apart() -> Iterator[set[int]]:
    """Bind this process to the last core; yield another core for the server."""
    every = os.sched_getaffinity(0)
    if len(every) < 2:
        raise SystemExit("Two cores are needed: one for the service, one for its clients.")
    os.sched_setaffinity(0, {max(every)})
    try:
        yield {min(every)}
    finally:
        os.sched_setaffinity(0, every)
