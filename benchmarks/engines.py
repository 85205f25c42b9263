"""What the engines of predictions cost: CPU time of a forward, to build them, and their memory.

The reference is the same network in PyTorch, module by module. One thread, batches as they come
under load; CPU time of the whole process, in turn.

    python -m benchmarks.engines
"""

import gc
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any

import psutil
import torch
from torch import Tensor

from app.processes import return_freed_memory
from benchmarks.runner import cpu_in_turn, write
from models import networks
from models.compute import to_device
from models.engines.engine import Engine, Kind
from models.engines.openvino import OpenVINO
from models.engines.torchscript import TorchScript
from models.folding import folded
from models.preprocess import Preprocess
from models.trunks import Trunk

# Backbone, side in pixels, images in a batch.
CASES = (("resnet32", 32, 16), ("resnet18", 224, 8), ("efficientnet_lite0", 160, 8))
ROUNDS = 9


def main() -> None:
    """Measure each network; print and save."""
    torch.set_num_threads(1)
    rows = {}
    print(f"{'':34}{'CPU ms an image':>16}{'ratio':>8}{'build, CPU s':>14}{'memory, MB':>12}")
    for name, size, batch in CASES:
        rows[f"{name} at {size}, batch {batch}"] = row = measured(name, size, batch)
        for engine, found in row.items():
            built = found.get("build_cpu_seconds", 0.0)
            added = found.get("memory_megabytes", 0.0)
            print(
                f"{name + ' at ' + str(size):20}{engine:14}{found['cpu_ms_per_image']:16.2f}"
                f"{found['ratio']:8.2f}{built:14.2f}{added:12.0f}",
                flush=True,
            )
    write("engines", {"rows": rows})


def engines() -> list[Engine]:
    """Return those that are installed, for one thread."""
    return [TorchScript(), *([OpenVINO(1, 16)] if find_spec("openvino") else [])]


def trunk(name: str) -> Trunk:
    """Return a network as it serves."""
    backbone = to_device(networks.build(name, 0).backbone, torch.device("cpu"))
    backbone.eval().requires_grad_(False)
    return Trunk(Preprocess(torch.full((3,), 0.5), torch.full((3,), 0.25)), backbone).eval()


def images(count: int, size: int) -> Tensor:
    """Return noise, uint8 [count, 3, S, S]: arithmetic takes as long on it."""
    pixels = torch.randint(256, (count, size, size, 3), dtype=torch.uint8)
    return pixels.permute(0, 3, 1, 2)


def measured(name: str, size: int, batch: int) -> dict[str, dict[str, Any]]:
    """Return the figures of each engine."""
    plain, pixels = trunk(name), images(batch, size)
    eager = Trunk(plain.preprocess, folded(plain.backbone, plain.preprocess(pixels[:1]))).eval()
    runs: dict[str, Callable[[Tensor], Any]] = {"torch": plain, "torch, folded": eager}
    found: dict[str, dict[str, Any]] = {"torch": {}, "torch, folded": {}}
    for engine in engines():
        begun = time.process_time()
        runs[engine.name] = engine.compile(plain, Kind("", name, size))
        found[engine.name] = {
            "precision": engine.precision,
            "build_cpu_seconds": round(time.process_time() - begun, 2),
            "memory_megabytes": in_process_of_its_own(engine.name, name, size, batch),
        }
    with torch.inference_mode():
        taken = cpu_in_turn({key: partial(run, pixels) for key, run in runs.items()}, ROUNDS)
    for key, seconds in taken.items():
        found[key]["cpu_ms_per_image"] = round(seconds / batch * 1e3, 3)
        found[key]["ratio"] = round(seconds / taken["torch"], 3)
    return found


def in_process_of_its_own(engine: str, name: str, size: int, batch: int) -> float:
    """Return by how many 10⁶ bytes a process grows with an engine in place of PyTorch."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(growth, engine, name, size, batch).result()


def growth(chosen: str, name: str, size: int, batch: int) -> float:
    """Return the growth of this process, in 10⁶ bytes, once PyTorch's weights are freed."""
    torch.set_num_threads(1)
    engine = next(each for each in engines() if each.name == chosen)

    def memory() -> int:
        gc.collect()
        return_freed_memory()
        return int(psutil.Process().memory_info().rss)

    with torch.inference_mode():
        # What the first network brings with it, such as libraries, is not of the second.
        trunk(name)(images(batch, size))
        engine.compile(trunk("convnet"), Kind("", "convnet", 32))(images(batch, 32))
    before = memory()
    plain = trunk(name)
    runner = engine.compile(plain, Kind("", name, size))
    del plain
    with torch.inference_mode():
        runner(images(batch, size))
    return round((memory() - before) / 1e6, 1)


if __name__ == "__main__":
    main()
