"""Checks the device for training, the number of threads, memory, and the limit of open files."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from app.doctor.findings import CheckContext, Finding, Say
from app.inference.budget import inference_threads, model_memory
from app.memory import usable_memory

# For other connections, files and libraries.
_OTHER_FILES = 256
# The rest is for PyTorch itself, for batches of images and for other processes.
_MOST_OF_MEMORY = 0.75


def check_device(context: CheckContext) -> Iterator[Finding]:
    """Check the device that training will run on."""
    say = Say("device")
    try:
        import torch  # noqa: PLC0415 - it may be broken
    except (ImportError, OSError, RuntimeError):
        yield say.skipped("PyTorch cannot be loaded")
        return
    wanted = context.settings.device
    try:
        device = torch.device("cuda" if wanted == "auto" else wanted)
    except RuntimeError:
        yield say.problem(
            f"ACCRUE_DEVICE={wanted} is not a device", "Set it to cpu, cuda, cuda:N or auto."
        )
        return
    if device.type == "cpu":
        yield say.ok("CPU, as set by ACCRUE_DEVICE")
        return
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus > (device.index or 0):
        yield say.ok(f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}")
    elif wanted != "auto":
        yield say.problem(
            f"ACCRUE_DEVICE is {wanted}, but PyTorch finds {gpus} GPUs",
            "Check `nvidia-smi`; a container needs `--gpus all` (docker-compose.gpu.yml). Or set "
            "ACCRUE_DEVICE=cpu.",
        )
    elif Path("/dev/nvidiactl").exists():
        yield say.warning(
            f"There is a GPU, but PyTorch cannot use it; it needs CUDA {torch.version.cuda}",
            "Most likely the driver is too old: compare its version in `nvidia-smi`.",
        )
    else:
        yield say.ok("CPU; there is no GPU")


def check_threads(context: CheckContext) -> Iterator[Finding]:
    """Compare the numbers of threads with the cores; more threads slow each other down."""
    say = Say("threads")
    cores = usable_cores()
    settings = context.settings
    given = {
        "ACCRUE_INFERENCE_THREADS": inference_threads(settings) * settings.api_processes,
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


def check_memory(context: CheckContext) -> Iterator[Finding]:
    """Compare the memory for loaded versions with what this machine or container has."""
    say = Say("model memory")
    usable = usable_memory()
    budget = model_memory(context.settings)
    what = f"{_gib(budget)} for loaded versions of an API process, of {_gib(usable)}"
    if budget * context.settings.api_processes > _MOST_OF_MEMORY * usable:
        yield say.warning(what, "Lower ACCRUE_MODEL_MEMORY: the process itself needs memory too.")
    else:
        yield say.ok(what)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def usable_cores() -> float:
    """Return how many cores this process may use, by its CPU affinity and cgroup quota."""
    cores = float(len(os.sched_getaffinity(0)))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else min(cores, int(quota) / int(period))


def check_files(context: CheckContext) -> Iterator[Finding]:
    """Compare the limit of open files with the number of event streams."""
    say = Say("open files")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    streams = context.settings.event_streams
    if resource.RLIM_INFINITY != soft < streams + _OTHER_FILES:
        yield say.warning(
            f"The limit is {soft}, and ACCRUE_EVENT_STREAMS alone allows {streams} streams",
            f"Raise `ulimit -n` to {streams + _OTHER_FILES} or more (here up to {hard}), or lower "
            "ACCRUE_EVENT_STREAMS.",
        )
    else:
        yield say.ok(f"The limit is {'infinite' if soft == resource.RLIM_INFINITY else soft}")
