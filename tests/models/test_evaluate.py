"""Metrics against counting by hand (invariant I52)."""

from collections.abc import Callable

import pytest
import torch

from models.classify import Output
from models.evaluate import measure
from models.matrices import backward_transfer, forgetting

from .conftest import Chain, pictures

# Ten held-out images of five classes in three tasks: what was predicted for which.
TASKS = (0, 0, 1, 1, 2)
COLUMNS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3, 4, 4])
PREDICTED = [0, 0, 4, 1, 2, 2, 3, 0, 4, 0]
# Where the first guess is of another task, the best guess within the right one.
SECOND = [0, 0, 1, 1, 1, 2, 3, 3, 4, 4]


def output() -> Output:
    scores = torch.full((10, 5), 0.01)
    for row, (first, second) in enumerate(zip(PREDICTED, SECOND, strict=True)):
        scores[row, second] = 0.3
        scores[row, first] = 0.6
    return Output(scores.log())


HISTORY = {
    "matrix": [[1.0], [0.8, 0.5]],
    "task_aware_matrix": [[1.0], [0.9, 0.75]],
    "accuracies": [1.0, 0.7],
}


def test_every_metric_of_a_third_step() -> None:
    metrics = measure(output(), COLUMNS, TASKS, HISTORY)
    assert metrics["accuracy"] == pytest.approx(5 / 10)
    assert metrics["matrix"] == [[1.0], [0.8, 0.5], pytest.approx([3 / 5, 1 / 3, 1 / 2])]
    assert metrics["average_incremental_accuracy"] == pytest.approx((1.0 + 0.7 + 0.5) / 3)
    assert metrics["per_class"] == pytest.approx([2 / 3, 1 / 2, 1 / 2, 0, 1 / 2])
    # Within the task: image 2 falls to class 1, images 4, 7 and 9 become right.
    assert metrics["task_aware_accuracy"] == pytest.approx(8 / 10)
    assert metrics["task_aware_matrix"][-1] == pytest.approx([4 / 5, 2 / 3, 1])
    assert metrics["forgetting"] == pytest.approx(((1.0 - 3 / 5) + (0.5 - 1 / 3)) / 2)
    assert metrics["backward_transfer"] == pytest.approx(((3 / 5 - 1.0) + (1 / 3 - 0.5)) / 2)
    assert metrics["router_accuracy"] is None


def test_forgetting_takes_the_best_transfer_the_first() -> None:
    matrix = [[0.6], [0.9, 0.4], [0.7, 0.5, 1.0]]
    assert forgetting(matrix) == pytest.approx(((0.9 - 0.7) + (0.4 - 0.5)) / 2)
    assert backward_transfer(matrix) == pytest.approx(((0.7 - 0.6) + (0.5 - 0.4)) / 2)


def test_the_first_step_forgets_nothing() -> None:
    metrics = measure(output(), COLUMNS, (0,) * 5, None)
    assert metrics["forgetting"] is None
    assert metrics["backward_transfer"] is None
    assert metrics["task_aware_accuracy"] == metrics["accuracy"]
    assert metrics["average_incremental_accuracy"] == metrics["accuracy"]


def test_nothing_to_measure_on() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    metrics = measure(None, none, (0, 0), None)
    assert metrics["accuracy"] is None
    assert metrics["matrix"] == [[None]]
    assert metrics["per_class"] == [None, None]
    later = measure(output(), COLUMNS, TASKS, {**metrics, "accuracies": [None]})
    assert later["average_incremental_accuracy"] == pytest.approx(0.5)
    assert later["forgetting"] is None


def test_a_task_without_held_out_images_is_null() -> None:
    chosen = COLUMNS < 2
    part = Output(output().log_scores[chosen])
    metrics = measure(part, COLUMNS[chosen], TASKS, HISTORY)
    assert metrics["matrix"][-1] == [pytest.approx(3 / 5), None, None]


@pytest.mark.parametrize("method", ["icarl", "replay", "finetune", "joint"])
def test_metrics_along_a_chain(chain: Callable[..., Chain], method: str) -> None:
    learner = chain(method, exemplars=30, epochs=3)
    for column in range(3):
        learner.learn({column: pictures(column, 25)})
    metrics = learner.results[-1].metrics
    assert [len(row) for row in metrics["matrix"]] == [1, 2, 3]
    accuracies = [result.metrics["accuracy"] for result in learner.results]
    assert metrics["accuracies"] == accuracies
    assert metrics["average_incremental_accuracy"] == pytest.approx(sum(accuracies) / 3)
    # Ten held-out images a class, so a task's accuracy is its class's.
    assert metrics["matrix"][-1] == pytest.approx(metrics["per_class"])


def test_what_was_measured_is_what_is_served(chain: Callable[..., Chain]) -> None:
    from models.serving import load_servable

    learner = chain("icarl", epochs=3)
    learner.learn({column: pictures(column, 25) for column in range(3)})
    result = learner.results[-1]
    servable = load_servable(learner.spec, result.state)
    held_out = torch.cat([learner.held_out[column] for column in range(3)])
    columns = torch.arange(3).repeat_interleave(10)
    right = servable(held_out).scores.argmax(dim=1) == columns
    assert float(right.double().mean()) == result.metrics["accuracy"]
