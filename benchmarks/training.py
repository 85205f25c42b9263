"""CPU time of a training step, as a ratio to a bare loop over the same network in the same run.

The reference is what one would write by hand: float32, images already normalised and batched,
forward, cross-entropy, backward, SGD. Accrue's step does that and draws, crops, flips and
normalises its batch, and reports. One thread, resnet32 at 32×32, batches of 128. A second ratio is
to the cheapest bare loop of this machine that does as much: with a teacher its forward as well.

    python -m benchmarks.training [--rounds 5]
"""

import argparse
import copy
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from models import networks
from models.compute import Compute
from models.learner import learn
from models.methods import validate
from models.spec import Budget, Spec
from models.step import StepData

BATCH, STEPS, CLASSES = 128, 6, 10
RESULT = Path(__file__).parent / "results" / "training.json"


def images(count: int) -> Tensor:
    """Random uint8 images [count, 3, 32, 32]: arithmetic takes as long on noise."""
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)


def cpu_per_image(work: Callable[[], None], count: int) -> float:
    """CPU milliseconds an image of the whole process."""
    started = time.process_time()
    work()
    return (time.process_time() - started) / count * 1e3


def bare_loop(*, bf16: bool, channels_last: bool, teacher: bool = False) -> Callable[[], None]:
    """Train by hand for STEPS steps, with a forward of a network like it where there is a teacher.

    Its outputs are not used: a loss by them costs nothing beside the convolutions.
    """
    network = networks.build("resnet32", 0)
    network.head.grow(0, CLASSES, 0)
    pixels = torch.randn(BATCH, 3, 32, 32)
    if channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    before = copy.deepcopy(network).eval() if teacher else None
    columns = torch.randint(CLASSES, (BATCH,))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def work() -> None:
        for _ in range(STEPS):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                logits = network(pixels).logits
                if before is not None:
                    with torch.no_grad():
                        before(pixels)
            optimizer.zero_grad()
            functional.cross_entropy(logits.float(), columns).backward()
            optimizer.step()

    return work


def accrue_step(method: str, *, old: bool) -> Callable[[], float]:
    """Learn for STEPS steps; return the CPU seconds of training alone."""
    options = {"epochs": 1, "batch_size": BATCH}
    spec = validate(Spec(method=method, options=options, memory=Budget(exemplars=CLASSES * 4)))
    count = BATCH * STEPS
    tasks = (0,) * (CLASSES // 2) + (1,) * (CLASSES // 2)

    def data(chosen: tuple[int, ...], columns: Tensor) -> StepData:
        none = torch.zeros(0, dtype=torch.int64)
        pixels = images(len(columns))
        fresh = columns >= len(chosen) - CLASSES // 2
        sizes = torch.ones(len(columns), dtype=torch.int64)
        return StepData(pixels, columns, sizes, fresh, images(0), none, chosen)

    base = None
    if old:
        first = data(tasks[: CLASSES // 2], torch.arange(BATCH) % (CLASSES // 2))
        base = learn(spec, None, first, device="cpu").state
    everything = data(tasks, torch.arange(count) % CLASSES)

    def work() -> float:
        marks: list[float] = []

        def watch() -> bool:
            marks.append(time.process_time())
            return False

        learn(spec, base, everything, device="cpu", should_stop=watch)
        # It is asked before each step, and then while the version is measured.
        return marks[STEPS] - marks[0]

    return work


def bare_loops(*, teacher: bool) -> dict[str, Callable[[], None]]:
    """Return the bare loops by their names; bf16 only where the processor multiplies it."""
    kinds = {"float32": (False, False), "float32, channels last": (False, True)}
    if Compute.on("cpu").bf16:
        kinds["bf16, channels last"] = (True, True)
    what = "bare loop with teacher" if teacher else "bare loop"
    return {
        f"{what}, {kind}": bare_loop(bf16=bf16, channels_last=channels_last, teacher=teacher)
        for kind, (bf16, channels_last) in kinds.items()
    }


def main() -> None:
    """Measure in turn, so that a drifting machine affects all alike; print and save medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    count = BATCH * STEPS
    plain, taught = bare_loops(teacher=False), bare_loops(teacher=True)
    ours = {
        "accrue finetune": (accrue_step("finetune", old=False), plain),
        "accrue icarl, first task": (accrue_step("icarl", old=False), plain),
        "accrue icarl, with teacher": (accrue_step("icarl", old=True), taught),
    }
    seen: dict[str, list[float]] = {name: [] for name in [*plain, *taught, *ours]}
    for number in range(rounds + 1):
        for name, work in (plain | taught).items():
            seen[name].append(cpu_per_image(work, count))
        for name, (step, _) in ours.items():
            seen[name].append(step() / count * 1e3)
        if number == 0:  # the first round warms up
            seen = {name: [] for name in seen}
        print(f"round {number} of {rounds}", flush=True)

    def ratio(name: str, to: str) -> float:
        pairs = zip(seen[name], seen[to], strict=True)
        return round(median(value / reference for value, reference in pairs), 3)

    rows: dict[str, dict[str, float | str]] = {
        name: {
            "cpu_ms_per_image": round(median(values), 3),
            "ratio": ratio(name, "bare loop, float32"),
        }
        for name, values in seen.items()
    }
    for name, (_, bare) in ours.items():
        cheapest = min(bare, key=lambda each: median(seen[each]))
        rows[name] |= {"cheapest": cheapest, "to_cheapest": ratio(name, cheapest)}
    print(f"\n{'':42}{'CPU ms an image':>16}{'ratio':>8}{'to the cheapest':>17}")
    for name, row in rows.items():
        figures = f"{row['cpu_ms_per_image']:16.2f}{row['ratio']:8.2f}"
        print(f"{name:42}{figures}{row.get('to_cheapest', ''):>17}")
    RESULT.parent.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "bf16": Compute.on("cpu").bf16, "torch": torch.__version__}
    RESULT.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
