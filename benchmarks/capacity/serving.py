"""Requests a second: predicts those of a large network from those of a small one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.services.classifiers.spec import ClassifierSpec
from app.settings import Settings
from benchmarks import serving
from benchmarks.capacity.checks import Check
from benchmarks.capacity.model import Serving

_REQUESTS = 4000
_CLIENTS = 32


def measure() -> tuple[Serving, list[Check]]:
    """Return the constants for resnet32, and their checks with one core and 32 clients."""
    with _clients_apart() as cores, tempfile.TemporaryDirectory() as folder:
        forward, served = _serve(Path(folder), "convnet", _CLIENTS, cores)
        around = served["cpu_ms"] - served["loop_ms"] - forward
        larger, busy = _serve(Path(folder), "resnet32", _CLIENTS, cores)
    model = Serving(served["loop_ms"], around, larger)
    return model, [
        Check("CPU of a request, resnet32", "ms", model.request_ms, busy["cpu_ms"]),
        Check(
            "requests of 32 clients, one core",
            "1/s",
            model.requests_per_second(len(cores)),
            busy["per_second"],
        ),
    ]


def _serve(
    folder: Path, backbone: str, clients: int, cores: set[int]
) -> tuple[float, dict[str, float]]:
    """Return the CPU milliseconds of a bare forward an image, and what requests cost."""
    settings = Settings(data_dir=folder / backbone, log_level="warning")
    wanted = ClassifierSpec.model_validate(
        {"name": "bench", "method": "finetune", "backbone": backbone, "image_size": serving.SIZE}
    )
    settings.data_dir.mkdir()
    spec, state = serving.publish(settings, wanted)
    before = serving.bare(spec, state)
    served = serving.serve(settings, _REQUESTS, clients, cores=cores)
    # Before and after, because the machine's speed drifts during a run.
    return (before + serving.bare(spec, state)) / 2, served


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
