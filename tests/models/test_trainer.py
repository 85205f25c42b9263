"""The training loop: batches, schedule, resuming, stopping (invariant I50)."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from models.batches import EpochPlan, batch_size, batch_sizes, crop_and_flip, steps_per_epoch
from models.checkpoint import Checkpoint
from models.errors import Cancelled, LearningError
from models.methods.base import Phase
from models.optimizing import set_rates
from models.progress import Progress
from models.schedules import Steps
from models.seeds import derive
from models.step import StepResult

from .conftest import Chain, pictures

NEW = {0: pictures(0, 21), 1: pictures(1, 12)}
MORE = {2: pictures(2, 17)}


def tensors(result: StepResult) -> dict[str, Tensor]:
    return {
        f"{part}/{name}": tensor
        for part, group in result.state.parts.items()
        for name, tensor in group.items()
    }


def assert_identical(one: StepResult, other: StepResult) -> None:
    assert tensors(one).keys() == tensors(other).keys()
    for name, tensor in tensors(one).items():
        assert torch.equal(tensor, tensors(other)[name]), name
    assert one.rankings == other.rankings
    assert one.metrics == other.metrics


@pytest.mark.parametrize("method", ["icarl", "finetune"])
def test_resuming_gives_the_uninterrupted_result(chain: Callable[..., Chain], method: str) -> None:
    whole, broken = (chain(method, epochs=4) for _ in range(2))
    whole.learn(NEW)
    broken.learn(NEW)
    saved: list[Checkpoint] = []
    expected = whole.learn(MORE, save=saved.append)
    assert [checkpoint.epoch for checkpoint in saved] == [1, 2, 3, 4]
    assert_identical(broken.learn(MORE, resume=saved[1]), expected)


def test_resuming_after_the_last_epoch_trains_no_more(chain: Callable[..., Chain]) -> None:
    saved: list[Checkpoint] = []
    expected = chain("icarl").learn(NEW, save=saved.append)
    reports: list[Progress] = []
    result = chain("icarl").learn(NEW, resume=saved[-1], report=reports.append)
    assert_identical(result, expected)
    assert "training" not in {report.phase for report in reports}


def test_the_seed_decides_everything(chain: Callable[..., Chain]) -> None:
    one, same, other = (chain("icarl", seed=seed).learn(NEW) for seed in (1, 1, 2))
    assert_identical(one, same)
    assert not torch.equal(
        tensors(one)["backbone/convs.0.weight"], tensors(other)["backbone/convs.0.weight"]
    )


def test_cancelling_stops_at_the_next_step(chain: Callable[..., Chain]) -> None:
    asked = 0

    def third_time() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    with pytest.raises(Cancelled):
        chain("icarl", epochs=50).learn(NEW, should_stop=third_time)
    assert asked == 3


@pytest.mark.parametrize("method", ["icarl", "mas", "piggyback"])
def test_herding_and_evaluation_can_be_cancelled_too(
    chain: Callable[..., Chain], method: str
) -> None:
    for phase in ("selecting_exemplars", "evaluating"):
        seen: list[str] = []

        def stop(seen: list[str] = seen, phase: str = phase) -> bool:
            return phase in seen

        with pytest.raises(Cancelled):
            chain(method).learn(
                NEW, report=lambda told, seen=seen: seen.append(told.phase), should_stop=stop
            )
        assert seen.count(phase) == 1


@pytest.mark.parametrize(("method", "lr"), [("finetune", 1e30), ("icarl", 1e12)])
def test_training_that_diverges_makes_no_version(
    chain: Callable[..., Chain], method: str, lr: float
) -> None:
    with pytest.raises(LearningError, match="lower lr") as failed:
        chain(method, lr=lr).learn(NEW)
    assert failed.value.code == "training-diverged"


def test_progress_is_told_in_order(chain: Callable[..., Chain]) -> None:
    reports: list[Progress] = []
    chain("icarl", epochs=3).learn(NEW, report=reports.append)
    training = [report for report in reports if report.phase == "training"]
    others = [report.phase for report in reports if report not in training]
    assert list(dict.fromkeys(others)) == ["selecting_exemplars", "evaluating"]
    # Every epoch's end is told; of 33 images in batches of 16, the last 17 make two batches.
    ends = [report for report in training if report.step == report.steps]
    assert [(report.epoch, report.epochs, report.steps) for report in ends] == [
        (1, 3, 3),
        (2, 3, 3),
        (3, 3, 3),
    ]
    assert [report.fraction for report in ends] == pytest.approx([1 / 3, 2 / 3, 1])
    assert all(report.loss is not None and report.loss > 0 for report in training)


def rates(milestones: Sequence[float], steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=2.0)
    images = None  # the schedule does not look at them
    phase = Phase("main", images, 1, 1, optimizer, Steps(tuple(milestones), 0.2))  # type: ignore[arg-type]
    seen = []
    for step in range(steps):
        set_rates(phase, step / steps)
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def test_the_papers_schedule_over_70_epochs() -> None:
    expected = [2.0] * 49 + [0.4] * 14 + [0.08] * 7
    assert rates((0.7, 0.9), 70) == pytest.approx(expected)


def test_milestones_fire_at_any_length() -> None:
    assert rates((0.7, 0.9), 3)[-1] == 2.0  # 2/3 of the run is before 0.7
    assert rates((0.6, 0.85), 3)[-1] == pytest.approx(0.4)
    assert rates((0.6, 0.85), 8)[-1] == pytest.approx(0.08)


@pytest.mark.parametrize("count", [1, 2, 3, 31, 32, 33, 34, 64, 65, 100])
def test_an_epoch_sees_every_image_once(count: int) -> None:
    batches = EpochPlan.draw(count, 4, True, 7, 0, 3).batches(32)
    assert len(batches) == steps_per_epoch(count, 32)
    seen = torch.cat([batch.order for batch in batches]).tolist()
    assert sorted(seen) == ([0, 0] if count == 1 else list(range(count)))


def test_small_rests_share_with_the_batch_before() -> None:
    """Batch norm diverges over two images: (images, full batch) → the batches, counted by hand."""
    for (count, size), batches in {
        (64, 32): [32, 32],
        (34, 32): [17, 17],
        (33, 32): [17, 16],
        (79, 32): [32, 24, 23],
        (80, 32): [32, 32, 16],  # half a batch is no small rest
        (20, 32): [20],
        (5000, 128): [128] * 38 + [68, 68],
        (9, 8): [5, 4],
        (4, 3): [2, 2],
        (5, 2): [2, 3],  # nobody is alone, even where that takes a larger batch
        (3, 2): [3],
    }.items():
        assert batch_sizes(count, size) == batches
        plan = EpochPlan.draw(count, 0, False, 1, 0, 0)
        assert [len(batch.order) for batch in plan.batches(size)] == batches
    for size in range(2, 40):
        for count in range(2, 200):
            sizes = batch_sizes(count, size)
            assert sum(sizes) == count
            assert len(sizes) == 1 or min(sizes) >= max(2, size / 2)
            assert max(sizes) <= max(size, 3)


def test_an_epoch_is_a_function_of_seed_phase_and_epoch() -> None:
    def order(*key: int) -> list[int]:
        return EpochPlan.draw(50, 4, True, *key).order.tolist()

    assert order(1, 0, 0) == order(1, 0, 0)
    assert len({tuple(order(*key)) for key in ((1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1))}) == 4
    assert derive(1, "a", 23) != derive(1, "a", 2, 3) != derive(12, "a", 3)


def test_default_batch_sizes() -> None:
    assert [batch_size(None, count) for count in (60, 1999, 2000)] == [32, 32, 128]
    assert batch_size(7, 5000) == 7


def test_crop_and_flip_against_pixels_moved_by_hand() -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (9, 3, 6, 6), generator=draws).to(torch.uint8)
    plan = EpochPlan(
        order=torch.arange(9),
        rows=torch.tensor([0, 1, 2, 3, 4, 0, 4, 2, 2]),
        cols=torch.tensor([0, 4, 2, 1, 0, 3, 4, 2, 1]),
        flips=torch.tensor([False, True, False, True, True, False, False, True, False]),
    )
    fill = torch.tensor([9, 99, 199], dtype=torch.uint8)
    result = crop_and_flip(images, plan, 2, fill)
    for place in range(9):
        for y in range(6):
            for x in range(6):
                source_x = 5 - x if plan.flips[place] else x
                row, col = y + int(plan.rows[place]) - 2, source_x + int(plan.cols[place]) - 2
                inside = 0 <= row < 6 and 0 <= col < 6
                expected = images[place, :, row, col] if inside else fill
                assert torch.equal(result[place, :, y, x], expected)


def test_no_crop_no_flip_changes_nothing() -> None:
    images = pictures(0, 5)
    plan = EpochPlan.draw(5, 0, False, 1, 0, 0)
    assert torch.equal(crop_and_flip(images, plan, 0, torch.zeros(3, dtype=torch.uint8)), images)
