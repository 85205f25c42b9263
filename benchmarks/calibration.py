"""Do scores mean what they say, and are images of other classes noticed? Handwritten digits.

    python -m benchmarks.calibration

Every method learns eight classes, two a step, with `convnet`, 15 epochs and 100 exemplars; the
other two classes are shown to it only afterwards. One fifth of the training images is held out.
Prints two tables and writes benchmarks/results/calibration.json.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import Tensor

from models import evaluate, known
from models.calibrated import PART, name
from models.calibration import calibrate, expected_calibration_error
from models.classify import Output, fit_temperature, restrict
from models.learner import learn, restore
from models.measuring import CPU
from models.methods import validate
from models.serving import load_servable
from models.spec import Augment, Budget, Spec
from models.state import State
from models.step import StepData

RESULTS = Path(__file__).parent / "results" / "calibration.json"
# The seed, and the classes that it leaves out.
COURSES = {1993: (8, 9), 1994: (0, 3), 1995: (4, 7)}
STEPS, CLASSES = 4, 8
ROWS: dict[str, dict[str, Any]] = {
    "icarl": {},
    "icarl, ce_kd": {"loss": "ce_kd"},
    "replay": {},
    "lwf": {},
    "lwm": {},
    "mas": {},
    "piggyback": {"base_epochs": 15, "lr": 1e-3, "head_lr": 1e-3},
    "packnet": {},
    "cs_kd": {},
    "finetune": {},
    "joint": {},
    "analytic": {},
}

Split = list[Tensor]  # of each class, uint8 [n, 3, 8, 8]
# By way to classify: what was predicted of test images before and after calibration.
Found = dict[str, list[tuple[Tensor, Tensor, Tensor]]]


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    rows = {}
    for row in ROWS:
        rows[row] = measured(row)
        print(row, json.dumps(rows[row]), flush=True)
    report(rows)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")


def measured(row: str) -> dict[str, Any]:
    """Return the figures of one method, over all courses."""
    found: Found = defaultdict(list)
    unknown: dict[str, list[float]] = defaultdict(list)
    for seed, others in COURSES.items():
        order = [label for label in range(10) if label not in others] + list(others)
        train, held_out, test = splits(order)
        spec = specification(row, seed)
        state, metrics = taught(spec, train[:CLASSES], held_out[:CLASSES])
        predicted(spec, state, held_out[:CLASSES], test[:CLASSES], found)
        strange = torch.cat([part[label] for part in (train, held_out, test) for label in (8, 9)])
        noticed(spec, state, torch.cat(test[:CLASSES]), strange, unknown)
        unknown["estimate"].append(metrics["unknown"]["detected"])
    return {
        "calibration": {way: errors(outputs) for way, outputs in found.items()},
        "unknown": {kind: sum(values) / len(values) for kind, values in unknown.items()},
    }


def specification(row: str, seed: int) -> Spec:
    """Return what is taught."""
    method = row.split(",", maxsplit=1)[0]
    frozen = method == "analytic"
    return validate(
        Spec(
            method=method,
            options={} if frozen else {"epochs": 15, **ROWS[row]},
            backbone="efficientnet_lite0" if frozen else "convnet",
            weights="DEFAULT" if frozen else None,
            image_size=32 if frozen else 8,
            memory=Budget(exemplars=100),
            augment=Augment(flip=False),
            seed=seed,
        )
    )


def splits(order: list[int]) -> tuple[Split, Split, Split]:
    """Return the images that are trained on, held out and for testing, by class in this order."""
    digits = load_digits()
    pixels = torch.from_numpy(digits.images * (255 / 16)).round().to(torch.uint8)
    parts: tuple[Split, Split, Split] = ([], [], [])
    for label in order:
        images = pixels[torch.from_numpy(digits.target) == label][:, None].repeat(1, 3, 1, 1)
        number = torch.arange(len(images))
        test = number % 4 == 0
        held_out = (number % 5 == 1) & ~test
        for part, chosen in zip(parts, (~test & ~held_out, held_out, test), strict=True):
            part.append(images[chosen])
    return parts


def taught(spec: Spec, train: Split, held_out: Split) -> tuple[State, dict[str, Any]]:
    """Return the last version of all steps, and its metrics."""
    state: State | None = None
    metrics: dict[str, Any] = {}
    memory: dict[int, Tensor] = {}
    each = CLASSES // STEPS
    for step in range(STEPS):
        end = (step + 1) * each
        images = {**memory, **{column: train[column] for column in range(end - each, end)}}
        columns = torch.cat([torch.full((len(own),), column) for column, own in images.items()])
        measured_on = [torch.full((len(held_out[column]),), column) for column in range(end)]
        data = StepData(
            images=sized(spec, torch.cat(list(images.values()))),
            columns=columns,
            sizes=torch.ones_like(columns),
            fresh=columns >= end - each,
            held_out=sized(spec, torch.cat(held_out[:end])),
            held_out_columns=torch.cat(measured_on),
            tasks=tuple(column // each for column in range(end)),
        )
        result = learn(spec, state, data, device="cpu", history=metrics or None)
        state, metrics = result.state, result.metrics
        memory = {
            column: data.images[result.rankings[column]]
            if column in result.rankings
            else memory[column][:kept]
            for column, kept in enumerate(result.kept)
            if kept
        }
    assert state is not None
    return state, metrics


def sized(spec: Spec, images: Tensor) -> Tensor:
    """Return images at the classifier's size, by repeating pixels."""
    times = spec.image_size // images.shape[-1]
    return images.repeat_interleave(times, dim=2).repeat_interleave(times, dim=3)


def predicted(spec: Spec, state: State, held_out: Split, test: Split, found: Found) -> None:
    """Add the predictions of test images, by each way to classify and with the task given."""
    method, curves = restore(spec, state), state.parts[PART]
    images, fitted_to = (sized(spec, torch.cat(part)) for part in (test, held_out))
    columns, own = (
        torch.cat([torch.full((len(images),), column) for column, images in enumerate(part)])
        for part in (test, held_out)
    )
    tasks = torch.tensor(state.tasks)
    rivals = tasks[None, :] == tasks[columns][:, None]
    ways = method.offered(state.parts)
    for way in ways:
        module = method.servable(classify=way)
        raw = evaluate.predict(module, images, CPU)
        before = raw.log_scores
        if way != "softmax":  # these had a temperature already
            squared = -evaluate.predict(module, fitted_to, CPU).log_scores
            before = (before / fit_temperature(squared, own)).log_softmax(dim=1)
        after = calibrate(raw, curves[way])
        found[way].append((before, after.log_scores, columns))
        if way == ways[0]:
            within, whole = restrict(before, rivals), restrict(after.log_scores, rivals)
    if method.needs.task_id:
        given = evaluate.predict_by_task(method.servable, images, columns, state.tasks, CPU)
        within = whole = given.log_scores
    for task in range(STEPS):
        rows = tasks[columns] == task
        within_task = calibrate(Output(whole[rows]), curves[name(ways[0], task)])
        found["task given"].append((within[rows], within_task.log_scores, columns[rows]))


def errors(outputs: list[tuple[Tensor, Tensor, Tensor]]) -> dict[str, Any]:
    """Return accuracy, both calibration errors, and what chance alone would make of them."""
    before, after, columns = (torch.cat(parts) for parts in zip(*outputs, strict=True))
    draws = torch.Generator().manual_seed(0)
    confidence, best = after.double().exp().max(dim=1)
    chance = []
    for _ in range(100):
        right = torch.bernoulli(confidence.clamp_max(1), generator=draws).bool()
        drawn = torch.where(right, best, (best + 1) % after.shape[1])
        chance.append(expected_calibration_error(after, drawn) or 0.0)
    return {
        "accuracy": float((best == columns).double().mean()),
        "before": expected_calibration_error(before, columns),
        "after": expected_calibration_error(after, columns),
        "chance": sum(chance) / len(chance),
    }


def noticed(
    spec: Spec, state: State, test: Tensor, strange: Tensor, found: dict[str, list[float]]
) -> None:
    """Add how well images of unknown classes are told from those of known ones."""
    module, held_out = load_servable(spec, state), state.parts[known.PART]
    both = [known.scores(evaluate.predict(module, sized(spec, x), CPU)) for x in (test, strange)]
    is_strange = [0] * len(test) + [1] * len(strange)
    for kind in both[0]:
        area = roc_auc_score(is_strange, torch.cat([scores[kind] for scores in both]))
        found[f"AUROC of {kind}"].append(float(area))
    for kind, scores in zip(("false alarms", "found"), both, strict=True):
        p = known.p_values(scores, held_out)
        found[kind].append(float((p <= spec.false_alarms).double().mean()))


def report(rows: dict[str, dict[str, Any]]) -> None:
    """Print the tables, in %."""
    fields = ("accuracy", "before", "after", "chance")
    table = Table("method", "classify", *fields, title="expected calibration error, %")
    for row, figures in rows.items():
        for way, values in figures["calibration"].items():
            table.add_row(row, way, *(f"{100 * values[field]:.1f}" for field in fields))
    Console().print(table)
    kinds = ("AUROC of doubt", "AUROC of distance", "false alarms", "found", "estimate")
    table = Table("method", *kinds, title="images of unknown classes, %")
    for row, figures in rows.items():
        values = [figures["unknown"].get(kind) for kind in kinds]
        table.add_row(row, *("–" if value is None else f"{100 * value:.1f}" for value in values))
    Console().print(table)


if __name__ == "__main__":
    main()
