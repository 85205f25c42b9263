"""The device to train on, cores and threads, open files."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from app.doctor.findings import CheckContext, Finding, Say

# Besides event streams: other connections, files, libraries.
_OTHER_FILES = 256


def check_device(context: CheckContext) -> Iterator[Finding]:
    """Say what training will run on."""
    say = Say("device")
    try:
        import torch  # noqa: PLC0415 - it may be what is broken
    except (ImportError, OSError, RuntimeError):
        yield say.skipped("PyTorch cannot be loaded")
        return
    wanted = context.settings.device
    try:
        device = torch.device("cuda" if wanted == "auto" else wanted)
    except RuntimeError:
        yield say.problem(f"ACCRUE_DEVICE={wanted} is no device", "Set cpu, cuda, cuda:N or auto.")
        return
    if device.type == "cpu":
        yield say.ok("CPU, as ACCRUE_DEVICE says")
        return
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus > (device.index or 0):
        yield say.ok(f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}")
    elif wanted != "auto":
        yield say.problem(
            f"ACCRUE_DEVICE={wanted}, and PyTorch finds {gpus} GPUs",
            "Look at `nvidia-smi`; a container needs `--gpus all` (docker-compose.gpu.yml). Or set "
            "ACCRUE_DEVICE=cpu.",
        )
    elif Path("/dev/nvidiactl").exists():
        yield say.warning(
            f"There is a GPU, but PyTorch cannot use it: it wants CUDA {torch.version.cuda}",
            "Most likely the driver is too old: compare with `nvidia-smi`.",
        )
    else:
        yield say.ok("CPU; there is no GPU")


def check_threads(context: CheckContext) -> Iterator[Finding]:
    """Compare threads with cores: more threads wait for one another."""
    say = Say("threads")
    cores = usable_cores()
    settings = context.settings
    given = {
        "ACCRUE_INFERENCE_THREADS": settings.inference_threads or os.cpu_count() or 1,
        "ACCRUE_TRAIN_THREADS": settings.train_threads or len(os.sched_getaffinity(0)),
    }
    too_many = {name: count for name, count in given.items() if count > cores}
    for name, count in too_many.items():
        yield say.warning(
            f"{count} threads ({name}) on {cores:g} cores",
            f"Set {name} to {max(int(cores), 1)} or less.",
        )
    if not too_many:
        counts = " to predict, ".join(map(str, given.values()))
        yield say.ok(f"{counts} to train, on {cores:g} cores")


def usable_cores() -> float:
    """Return how many cores this process may use: those it is bound to, within its share."""
    cores = float(len(os.sched_getaffinity(0)))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else min(cores, int(quota) / int(period))


def check_files(context: CheckContext) -> Iterator[Finding]:
    """Compare the limit of open files with what event streams may take of it."""
    say = Say("open files")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    streams = context.settings.event_streams
    if resource.RLIM_INFINITY != soft < streams + _OTHER_FILES:
        yield say.warning(
            f"{soft} may be open, and ACCRUE_EVENT_STREAMS allows {streams} streams alone",
            f"Raise `ulimit -n` to {streams + _OTHER_FILES} or more (here up to {hard}), or lower "
            "ACCRUE_EVENT_STREAMS.",
        )
    else:
        yield say.ok(f"{'any number' if soft == resource.RLIM_INFINITY else soft} may be open")
