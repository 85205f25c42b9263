"""What Piggyback and PackNet share: the router, frozen tasks, resuming (I34, I45, I50)."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.calibrated import Calibrated
from models.checkpoint import Checkpoint
from models.classify import Output, Routed, TaskSoftmax
from models.compute import to_device
from models.errors import LearningError
from models.evaluate import measure, predict_by_task
from models.learner import restore
from models.methods.masked import Masked
from models.serving import load_servable
from models.state import State, decode, encode

from .conftest import Chain, pictures, task_images
from .test_trainer import assert_identical

CPU = torch.device("cpu")
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("piggyback", {"base_epochs": 2, "lr": 3e-3}),
    ("piggyback", {"base_epochs": 2, "lr": 3e-3, "bn": "per_task"}),
    ("packnet", {"retrain_epochs": 2, "lr": 0.05, "weight_decay": 0.01}),
]
every_method = pytest.mark.parametrize(("method", "options"), METHODS)


def learnt(chain: Callable[..., Chain], method: str, tasks: int, **options: Any) -> Chain:
    learner = chain(method, **options)
    for task in range(tasks):
        learner.learn(task_images(task))
    return learner


def masked(learner: Chain, step: int = -1) -> Masked[Any]:
    method = restore(learner.spec, learner.results[step].state)
    assert isinstance(method, Masked)
    return method


def mixed() -> Tensor:
    return torch.cat([pictures(column, 5, seed=3) for column in range(6)])


@every_method
def test_older_tasks_are_the_same_to_the_bit(
    chain: Callable[..., Chain], method: str, options: dict[str, Any]
) -> None:
    """I34, I44: after any later task, and after the bytes of storage."""
    learner = learnt(chain, method, 3, **options)
    images = mixed()
    for task in range(2):
        first = load_servable(learner.spec, learner.results[task].state, task=task)
        for later in learner.results[task + 1 :]:
            stored = {name: decode(encode(part)) for name, part in later.state.parts.items()}
            state = State(stored, later.state.tasks)
            again = load_servable(learner.spec, state, task=task)
            columns = [2 * task, 2 * task + 1]
            for servable in (first, again):
                assert isinstance(servable, Calibrated)
                assert isinstance(servable.servable, TaskSoftmax)
            assert torch.equal(first(images).scores[:, columns], again(images).scores[:, columns])
            assert not again(images).scores[:, [c for c in range(4) if c not in columns]].any()


@every_method
def test_evaluation_changes_nothing(
    chain: Callable[..., Chain], method: str, options: dict[str, Any]
) -> None:
    """I45: whatever order predictions are asked for in, the state is what it was."""
    learner = learnt(chain, method, 3, **options)
    taught = masked(learner)
    before = {name: encode(part) for name, part in taught.state().items()}
    images = mixed()
    alone = [masked(learner).servable(t).eval() for t in range(3)]
    for task in (2, 0, None, 1, 0):
        servable = to_device(taught.servable(task).eval(), CPU)
        with torch.inference_mode():
            output = servable(images)
        if task is not None:
            assert torch.equal(output.scores, alone[task](images).scores)
    assert {name: encode(part) for name, part in taught.state().items()} == before


@every_method
def test_resuming_gives_the_uninterrupted_result(
    chain: Callable[..., Chain], method: str, options: dict[str, Any]
) -> None:
    """I50, from every checkpoint of the first task and of a later one."""
    whole = chain(method, epochs=3, **options)
    for task in range(2):
        saved: list[Checkpoint] = []
        base = whole.results[-1:]
        expected = whole.learn(task_images(task), save=saved.append)
        assert len(saved) > 1
        for checkpoint in saved:
            broken = chain(method, epochs=3, **options)
            broken.results += base
            if task:
                broken.tasks = (0, 0)
                broken.held_out = {column: pictures(column, 10, seed=9) for column in (0, 1)}
            resumed = Checkpoint.decode(checkpoint.encode())
            assert_identical(broken.learn(task_images(task), resume=resumed), expected)


@every_method
def test_learning_leaves_the_base_version_alone(
    chain: Callable[..., Chain], method: str, options: dict[str, Any]
) -> None:
    learner = learnt(chain, method, 2, **options)
    base = learner.results[-1].state
    before = {name: encode(part) for name, part in base.parts.items()}
    learner.learn(task_images(2))
    assert {name: encode(part) for name, part in base.parts.items()} == before


@every_method
def test_a_learnt_task_takes_no_more_images(
    chain: Callable[..., Chain], method: str, options: dict[str, Any]
) -> None:
    learner = learnt(chain, method, 1, **options)
    with pytest.raises(LearningError) as refused:
        learner.learn({1: pictures(1, 8, seed=5), 2: pictures(2, 8)})
    assert refused.value.code == "task-is-frozen"


@every_method
def test_the_router_against_one_image_at_a_time(
    chain: Callable[..., Chain], method: str, options: dict[str, Any]
) -> None:
    learner = learnt(chain, method, 3, **options)
    taught = masked(learner)
    servable = taught.servable().eval()
    assert isinstance(servable, Routed)
    images = mixed()
    output = servable(images)
    assert output.tasks is not None
    assert set(output.tasks.tolist()) == {0, 1, 2}  # else there is little to see here
    parts = learner.results[-1].state.parts
    means = torch.cat([parts[f"router.{task}"]["means"] for task in range(3)])
    # Features that no later task moves: those of the first task's network.
    first = taught.network_of(0).eval()
    for row, image in enumerate(images):
        pixels = taught.preprocess(image[None])
        with torch.no_grad():
            feature = functional.normalize(first(pixels).features)[0]
        task = int((means - feature).norm(dim=1).argmin()) // 2
        assert int(output.tasks[row]) == task
        alone = taught.servable(task).eval()
        torch.testing.assert_close(output.scores[row], alone(image[None]).scores[0])


@every_method
def test_router_means_are_class_means_of_base_features(
    chain: Callable[..., Chain], method: str, options: dict[str, Any]
) -> None:
    learner = learnt(chain, method, 2, **options)
    # The base as it was when the first task had been learnt.
    first = masked(learner, 0)
    for task, result in enumerate(learner.results):
        found = result.state.parts[f"router.{task}"]["means"]
        for row, column in enumerate(task_images(task)):
            with torch.no_grad():
                pixels = first.preprocess(pictures(column, 16))
                features = functional.normalize(first.network(pixels).features)
            expected = functional.normalize(features.mean(dim=0), dim=0)
            torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-5)


@every_method
def test_what_is_measured(
    chain: Callable[..., Chain], method: str, options: dict[str, Any]
) -> None:
    """Task-agnostic, task-aware and router accuracy against counting over served predictions."""
    learner = learnt(chain, method, 3, **options)
    result = learner.results[-1]
    images = torch.cat(list(learner.held_out.values()))
    columns = torch.arange(6).repeat_interleave(10)
    routed = load_servable(learner.spec, result.state)(images)
    right = routed.scores.argmax(dim=1) == columns
    assert result.metrics["accuracy"] == pytest.approx(float(right.double().mean()))
    assert result.metrics["router_accuracy"] == pytest.approx(
        float((routed.tasks == columns // 2).double().mean())
    )
    rows = []
    for task in range(3):
        own = columns // 2 == task
        servable = load_servable(learner.spec, result.state, task=task)
        hits = servable(images[own]).scores.argmax(dim=1) == columns[own]
        rows.append(float(hits.double().mean()))
    assert result.metrics["task_aware_matrix"][-1] == pytest.approx(rows)
    assert result.metrics["task_aware_accuracy"] == pytest.approx(sum(rows) / 3)


def test_router_accuracy_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.1, 0, 0], [0, 0, 0.3, 0.7], [0.2, 0.8, 0, 0], [0, 0, 0.6, 0.4]])
    routed = Output(scores.log(), tasks=torch.tensor([4, 7, 4, 7]))
    columns = torch.tensor([0, 1, 2, 2])
    given = Output(
        torch.tensor([[0.9, 0.1, 0, 0], [0.4, 0.6, 0, 0], [0, 0, 0.1, 0.9], [0, 0, 0.6, 0.4]]).log()
    )
    metrics = measure(routed, columns, (4, 4, 7, 7), None, given)
    assert metrics["accuracy"] == 0.5
    assert metrics["router_accuracy"] == 0.5
    assert metrics["task_aware_accuracy"] == 0.75


def test_each_image_is_shown_to_its_own_task() -> None:
    class Says(TaskSoftmax):
        def __init__(self, task: int) -> None:
            torch.nn.Module.__init__(self)
            self.task = task

        def forward(self, images: Tensor) -> Output:
            scores = torch.zeros(len(images), 3)
            scores[:, self.task] = images[:, 0, 0, 0].float()
            return Output(scores)

    images = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).repeat(1, 3, 8, 8)
    columns = torch.tensor([2, 0, 1, 0])
    output = predict_by_task(Says, images, columns, (0, 1, 2), CPU)
    expected = torch.zeros(4, 3)
    expected[torch.arange(4), columns] = torch.arange(4.0)
    assert torch.equal(output.log_scores, expected)


@every_method
def test_an_unknown_task_is_refused(
    chain: Callable[..., Chain], method: str, options: dict[str, Any]
) -> None:
    learner = learnt(chain, method, 1, **options)
    with pytest.raises(ValueError, match="no task 3"):
        load_servable(learner.spec, learner.results[-1].state, task=3)
