"""What benchmarks share: CPU time in turn, what processes use, results with their machine."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import torch

RESULTS = Path(__file__).parent / "results"


def cpu_in_turn(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median CPU seconds of each work, done in turn, as machines change their speed."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            begun = time.process_time()
            work()
            taken[name].append(time.process_time() - begun)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def cpu_seconds(process: psutil.Process) -> float:
    """Return user and system seconds so far of a process, its descendants and ended children."""
    tree = [process, *process.children(recursive=True)]
    times = [member.cpu_times() for member in tree]
    return sum(
        taken.user + taken.system + taken.children_user + taken.children_system for taken in times
    )


def memory_of(process: psutil.Process) -> int:
    """Return the bytes in memory of a process and its descendants; what they share counts once."""
    tree = [process, *process.children(recursive=True)]
    return sum(int(member.memory_full_info().pss) for member in tree)


def machine() -> dict[str, Any]:
    """Return what results are read with: processor, cores, PyTorch and the commit."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "instructions": instructions(),
        "torch": torch.__version__,
        "commit": _commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write(name: str, result: Mapping[str, Any]) -> None:
    """Write results and their machine to ``results/<name>.json``."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({**result, "machine": machine()}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def instructions() -> str:
    """Return the vector instructions that PyTorch uses, and those that multiply bf16."""
    flags = set(Path("/proc/cpuinfo").read_text().split())
    bf16 = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags]
    return ", ".join([torch.backends.cpu.get_cpu_capability(), *bf16])


def _commit() -> str:
    """Return the commit that is checked out, marked where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(
        command, cwd=RESULTS.parent, capture_output=True, text=True, check=True
    ).stdout.strip()
