"""Forgetting: what goes is gone, and what stays is the same to the bit, for every method."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from models import calibrated
from models.edits import forget
from models.errors import LearningError
from models.known import PART
from models.learner import restore
from models.matrices import without_tasks
from models.methods import describe_methods, get
from models.serving import load_servable
from models.state import State, encode
from models.step import Remaining, StepResult

from .conftest import Chain, pictures, task_images

# Short, and enough for masks to flip.
OPTIONS: dict[str, dict[str, Any]] = {
    "piggyback": {"lr": 5e-3, "base_epochs": 1},
    "packnet": {"retrain_epochs": 1},
}
# analytic, which needs pretrained weights, has tests of its own in test_analytic.py.
OWN = [info.name for info in describe_methods() if info.name != "analytic"]
ALL_BUT_PACKNET = [name for name in OWN if name != "packnet"]


def learnt(chain: Callable[..., Chain], method: str, tasks: int = 3, **options: Any) -> Chain:
    learner = chain(method, **{**OPTIONS.get(method, {}), **options})
    for task in range(tasks):
        learner.learn(task_images(task))
    return learner


def remove(learner: Chain, *columns: int, measured: bool = True) -> StepResult:
    """Forget columns, as a service would, and go on from there."""
    last = learner.results[-1]
    kept = [column for column in range(len(learner.tasks)) if column not in columns]
    held_out = {new: learner.held_out[old] for new, old in enumerate(kept) if measured}
    result = forget(
        learner.spec,
        last.state,
        columns,
        Remaining(
            held_out=torch.cat([torch.empty(0, 3, 8, 8, dtype=torch.uint8), *held_out.values()]),
            held_out_columns=torch.tensor(
                [column for column, images in held_out.items() for _ in images], dtype=torch.int64
            ),
            kept=tuple(last.kept[column] for column in kept),
        ),
        device="cpu",
        history=last.metrics,
    )
    learner.memory = {
        new: learner.memory[old] for new, old in enumerate(kept) if old in learner.memory
    }
    learner.held_out = {new: learner.held_out[old] for new, old in enumerate(kept)}
    learner.tasks = result.state.tasks
    learner.results.append(result)
    return result


def same(before: State, after: State, names: Sequence[str]) -> None:
    """The parts are the same blobs, which versions share."""
    for name in names:
        assert encode(before.parts[name]) == encode(after.parts[name]), name


def scores(learner: Chain, state: State, images: Tensor, task: int | None = None) -> Tensor:
    with torch.inference_mode():
        return load_servable(learner.spec, state, task=task)(images).scores


@pytest.mark.parametrize("method", ALL_BUT_PACKNET)
def test_a_class_goes_and_its_neighbours_stay(chain: Callable[..., Chain], method: str) -> None:
    learner = learnt(chain, method)
    before = learner.results[-1]
    after = remove(learner, 2)
    assert after.state.tasks == (0, 0, 1, 2, 2)
    assert after.kept == before.kept[:2] + before.kept[3:]
    assert after.rankings == {}
    # What the discriminant is solved from and solved for is in test_exemplar_discriminant.py.
    changed = {
        "head.1",
        "router.1",
        "means",
        "discriminant",
        "deviation",
    } & before.state.parts.keys()
    assert after.state.parts.keys() == before.state.parts.keys()
    # The scores of held-out images are those of the classes that are left.
    assert all(len(values) == 50 for values in after.state.parts[PART].values())
    judged = {PART, calibrated.PART}
    same(before.state, after.state, sorted(before.state.parts.keys() - changed - judged))
    if method == "joint":  # the covariance is of all images
        one, other = (result.state.parts["deviation"] for result in (before, after))
        assert torch.equal(other["root"], one["root"])
        assert torch.equal(other["means"], one["means"][[0, 1, 3, 4, 5]])
    for name in changed - {"discriminant", "deviation"}:
        for key, tensor in before.state.parts[name].items():
            if key != "temperature":
                left = [1] if name != "means" else [0, 1, 3, 4, 5]
                assert torch.equal(after.state.parts[name][key], tensor[left])
    # With the task given, other tasks answer as they did; without it, the same logits compete.
    images = torch.cat([pictures(column, 4, seed=3) for column in (0, 1, 3, 4, 5)])
    kept = [0, 1, 3, 4, 5]
    if get(method).needs.task_id:
        for task in (0, 2):
            answers = scores(learner, before.state, images, task)[:, kept]
            assert torch.equal(scores(learner, after.state, images, task), answers)
    else:
        with torch.inference_mode():
            first, second = (
                restore(learner.spec, result.state).network(images.float() / 255).logits
                for result in (before, after)
            )
        torch.testing.assert_close(second, first[:, kept])


@pytest.mark.parametrize("method", ALL_BUT_PACKNET)
def test_a_task_goes_and_a_new_one_comes(chain: Callable[..., Chain], method: str) -> None:
    learner = learnt(chain, method)
    before = learner.results[-1]
    after = remove(learner, 2, 3)
    assert after.state.tasks == (0, 0, 2, 2)
    assert not any(name.endswith(".1") for name in after.state.parts)
    matrix = after.metrics["matrix"]
    assert [len(row) for row in matrix] == [1, 1, 2, 2]
    assert matrix[2] == [before.metrics["matrix"][2][0], before.metrics["matrix"][2][2]]
    assert len(after.metrics["accuracies"]) == 4
    assert len(after.metrics["per_class"]) == 4
    assert after.metrics["forgetting"] is not None
    again = learner.learn({4: pictures(8, 16), 5: pictures(9, 16)})
    assert again.state.tasks == (0, 0, 2, 2, 3, 3)
    assert [len(row) for row in again.metrics["matrix"]] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("method", ["piggyback", "packnet"])
def test_forgetting_the_newest_task_undoes_it(chain: Callable[..., Chain], method: str) -> None:
    """All parts are the very ones from before it was learnt, so nothing of it can be left."""
    learner = learnt(chain, method)
    _, before, _ = learner.results
    after = remove(learner, 4, 5)
    assert after.residual == ()
    assert after.state.tasks == before.state.tasks
    assert after.state.parts.keys() == before.state.parts.keys()
    same(before.state, after.state, sorted(before.state.parts))
    assert after.metrics["accuracy"] == before.metrics["accuracy"]
    assert after.metrics["report"] == before.metrics["report"]
    assert [len(row) for row in after.metrics["matrix"]] == [1, 2, 2, 2]
    assert after.metrics["forgetting"] == 0
    images = torch.cat([pictures(column, 4, seed=3) for column in range(4)])
    older = [scores(learner, after.state, images, task) for task in (0, 1)]
    learner.learn({4: pictures(8, 16), 5: pictures(9, 16)})
    for task in (0, 1):
        again = scores(learner, learner.results[-1].state, images, task)
        assert torch.equal(again[:, :4], older[task])


def test_packnet_refuses_all_but_the_newest_task(chain: Callable[..., Chain]) -> None:
    learner = learnt(chain, "packnet", tasks=2)
    for columns in ((0, 1), (3,), (1, 2, 3)):
        with pytest.raises(LearningError, match="newest") as refused:
            remove(learner, *columns)
        assert refused.value.code == "cannot-forget"


@pytest.mark.parametrize("method", OWN)
def test_something_must_be_left(method: str) -> None:
    with pytest.raises(LearningError, match="nothing would be left"):
        get(method).check_forget((0, 0, 1), (2, 0, 1))


@pytest.mark.parametrize(
    ("method", "columns", "residual"),
    [
        ("icarl", (2, 3), ("backbone", "head")),
        ("replay", (2, 3), ("backbone", "head")),
        ("finetune", (0,), ("backbone", "head")),
        ("joint", (0,), ("backbone", "head", "deviation")),
        ("mas", (4, 5), ("backbone", "importance")),
        ("mas", (3, 4, 5), ("backbone", "head", "importance")),
        ("piggyback", (2, 3), ()),
        ("piggyback", (2,), ("head", "masks")),
        ("piggyback", (0, 1), ("backbone",)),
        ("piggyback", (0,), ("backbone", "head")),
        ("piggyback", (1, 2, 4, 5), ("backbone", "head", "masks")),
        ("packnet", (4, 5), ()),
    ],
)
def test_what_may_be_left_is_said(
    chain: Callable[..., Chain], method: str, columns: tuple[int, ...], residual: tuple[str, ...]
) -> None:
    assert remove(learnt(chain, method), *columns).residual == residual


@pytest.mark.parametrize("method", OWN)
def test_nothing_to_take_out_leaves_the_version_as_it_was(
    chain: Callable[..., Chain], method: str
) -> None:
    learner = learnt(chain, method, tasks=2)
    before = learner.results[-1]
    after = remove(learner)
    assert (after.residual, after.warnings) == ((), [])
    assert (after.state.tasks, after.kept) == (before.state.tasks, before.kept)
    assert after.state.parts.keys() == before.state.parts.keys()
    same(before.state, after.state, sorted(before.state.parts))


def test_a_task_that_has_one_class_left_is_told_of(chain: Callable[..., Chain]) -> None:
    learner = learnt(chain, "lwf")
    (warning,) = remove(learner, 3, 4, 5).warnings
    assert warning.startswith("task 1 has a single class left")
    (warning,) = remove(learner, 0, 1).warnings  # of task 1 it was said before
    assert warning.startswith("there is a single class")


def test_piggyback_tasks_do_not_know_of_each_other(chain: Callable[..., Chain]) -> None:
    """I38, with batch norm of each task's own."""
    learner = learnt(chain, "piggyback", bn="per_task")
    before = learner.results[-1]
    after = remove(learner, 0, 1)
    assert after.state.parts.keys() == before.state.parts.keys() - {"head.0", "router.0"}
    same(before.state, after.state, sorted(after.state.parts.keys() - {PART, calibrated.PART}))


def test_scores_are_calibrated_anew(chain: Callable[..., Chain]) -> None:
    learner = learnt(chain, "icarl", tasks=2)
    fitted = learner.results[-1].state.parts[calibrated.PART]["nearest_mean"]
    again = remove(learner, 3).state.parts[calibrated.PART]["nearest_mean"]
    assert not torch.equal(fitted, again)
    unmeasured = remove(learner, 2, measured=False)
    assert calibrated.PART not in unmeasured.state.parts
    assert unmeasured.metrics["calibration_error"] is None
    assert unmeasured.metrics["accuracy"] is None
    assert unmeasured.metrics["per_class"] == [None, None]


def test_history_without_tasks() -> None:
    history = {
        "matrix": [[1.0], [0.9, 0.8], [0.7, 0.6, None]],
        "task_aware_matrix": [[1.0], [1.0, 0.9], [0.8, 0.9, None]],
        "accuracies": [1.0, 0.85, 0.65],
    }
    tasks = (0, 0, 2, 5)
    assert without_tasks(history, tasks, (0, 0, 2, 5)) == history
    assert without_tasks(history, tasks, (0, 0, 5)) == {
        "matrix": [[1.0], [0.9], [0.7, None]],
        "task_aware_matrix": [[1.0], [1.0], [0.8, None]],
        "accuracies": [1.0, 0.85, 0.65],
    }
    assert without_tasks(history, tasks, (2, 5)) == {
        "matrix": [[0.8], [0.6, None]],
        "task_aware_matrix": [[0.9], [0.9, None]],
        "accuracies": [0.85, 0.65],
    }
    # Earlier accuracies of a task that lost a class were of its images too.
    assert without_tasks(history, tasks, (0, 2, 5)) == {
        "matrix": [[None], [None, 0.8], [None, 0.6, None]],
        "task_aware_matrix": [[None], [None, 0.9], [None, 0.9, None]],
        "accuracies": [1.0, 0.85, 0.65],
    }
