"""Analytic, from images to predictions: nothing is trained, and what is learnt can be undone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import networks
from models.edits import forget
from models.errors import InvalidSpecError
from models.learner import learn, restore
from models.methods import get, validate
from models.progress import Progress
from models.serving import check_read_back, load_servable
from models.spec import Spec
from models.state import State, encode
from models.step import Remaining, StepData, StepResult
from models.trunks import Compile, Runner, Trunk, as_it_is

SIZE = 32
# Classes in two tasks; odd counts, since those of classes differ in life.
COUNTS = (9, 5, 12, 7)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def photographs(label: int, count: int, seed: int = 0) -> Tensor:
    """uint8 [count, 3, 32, 32]: coarse patterns of a label's own, in noise."""
    own = torch.randint(0, 256, (3, 4, 4), generator=torch.Generator().manual_seed(label))
    coarse = own.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    draws = torch.Generator().manual_seed(100 * seed + label + 1)
    noise = torch.randn(count, 3, SIZE, SIZE, generator=draws) * 50
    return (coarse + noise).clamp(0, 255).to(torch.uint8)


IMAGES = [photographs(label, count) for label, count in enumerate(COUNTS)]


def spec(**options: Any) -> Spec:
    return validate(
        Spec(
            method="analytic",
            backbone="efficientnet_lite0",
            weights="DEFAULT",
            image_size=SIZE,
            options={"dimensions": 64, **options},
        )
    )


def step(
    of: Spec,
    base: StepResult | None,
    parts: Sequence[tuple[int, Tensor]],
    tasks: tuple[int, ...],
    measured: Sequence[int] = (),
    compile_trunk: Compile = as_it_is,
) -> StepResult:
    """Learn (column, images) parts, and measure on other images of columns."""
    columns = torch.cat([torch.full((len(images),), column) for column, images in parts])
    images = torch.cat([images for _, images in parts])
    held_out = [photographs(column, 6, seed=9) for column in measured]
    data = StepData(
        images=images,
        columns=columns,
        sizes=torch.full((len(images),), 100),
        fresh=torch.ones(len(images), dtype=torch.bool),
        held_out=torch.cat([images[:0], *held_out]),
        held_out_columns=torch.tensor([column for column in measured for _ in range(6)]).long(),
        tasks=tasks,
    )
    state, history = (None, None) if base is None else (base.state, base.metrics)
    return learn(of, state, data, device="cpu", history=history, compile_trunk=compile_trunk)


def two_steps(of: Spec, **kwargs: Any) -> StepResult:
    first = step(of, None, [(0, IMAGES[0]), (1, IMAGES[1])], (0, 0))
    return step(of, first, [(2, IMAGES[2]), (3, IMAGES[3])], (0, 0, 1, 1), **kwargs)


def head(state: State) -> Tensor:
    """Weights and biases [C, M + 1] of all columns."""
    tasks = dict.fromkeys(state.tasks)
    weight = torch.cat([state.parts[f"head.{task}"]["weight"] for task in tasks])
    bias = torch.cat([state.parts[f"head.{task}"]["bias"] for task in tasks])
    return torch.cat([weight, bias[:, None]], dim=1)


def close(found: Tensor, expected: Tensor) -> None:
    """Compare to a part in 500 of the largest: batches of other sizes round features otherwise."""
    largest = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=largest / 500)


def removed(of: Spec, result: StepResult, *columns: int) -> StepResult:
    kept = tuple(0 for column in range(len(result.state.tasks)) if column not in columns)
    left = Remaining(torch.empty(0, 3, SIZE, SIZE, dtype=torch.uint8), torch.empty(0).long(), kept)
    return forget(of, result.state, columns, left, device="cpu", history=result.metrics)


def test_learns_at_once_and_says_how_well() -> None:
    result = two_steps(spec(), measured=(0, 1, 2, 3))
    assert result.metrics["accuracy"] == 1.0
    report = result.metrics["report"]
    assert report["leave_one_out"]["images"] == sum(COUNTS)
    assert report["leave_one_out"]["accuracy"] > 0.9
    assert result.warnings == []
    # Nothing is kept of the images in the memory.
    assert result.kept == (0, 0, 0, 0)


def test_extracting_says_how_much_is_done() -> None:
    images = [photographs(label, 300) for label in (0, 1)]
    seen: list[Progress] = []
    data = StepData(
        images=torch.cat(images),
        columns=torch.arange(2).repeat_interleave(300),
        sizes=torch.full((600,), 100),
        fresh=torch.ones(600, dtype=torch.bool),
        held_out=images[0][:0],
        held_out_columns=torch.empty(0).long(),
        tasks=(0, 0),
    )
    learn(spec(), None, data, device="cpu", report=seen.append)
    done = [progress.fraction for progress in seen if progress.phase == "extracting"]
    # Of the phase, the projection, compiling and the first batch; batches have 256 images.
    assert done == [0, 0, 0, 0, 256 / 600, 512 / 600]


def test_steps_give_what_one_step_gives() -> None:
    once = step(spec(), None, list(enumerate(IMAGES)), (0, 0, 1, 1))
    close(head(two_steps(spec()).state), head(once.state))


def test_a_class_in_parts_is_the_class_at_once() -> None:
    parts = [(0, IMAGES[0][:4]), (1, IMAGES[1]), (2, IMAGES[2])]
    first = step(spec(), None, parts, (0, 0, 0))
    extended = step(spec(), first, [(0, IMAGES[0][4:])], (0, 0, 0))
    once = step(spec(), None, list(enumerate(IMAGES[:3])), (0, 0, 0))
    close(head(extended.state), head(once.state))


def test_a_forgotten_class_was_never_learnt() -> None:
    forgotten = removed(spec(), two_steps(spec()), 1, 2)
    never = step(spec(), None, [(0, IMAGES[0]), (1, IMAGES[3])], (0, 1))
    assert forgotten.residual == ()
    close(head(forgotten.state), head(never.state))
    for name in ("root", "means"):
        close(forgotten.state.parts["deviation"][name], never.state.parts["deviation"][name])


def test_without_features_forgetting_says_what_stays() -> None:
    of = spec(forgettable="nothing")
    result = two_steps(of)
    assert not any(name.startswith("features") for name in result.state.parts)
    forgotten = removed(of, result, 1)
    assert forgotten.residual == ("analytic",)
    assert head(forgotten.state).shape == (3, 65)


def test_features_that_are_not_of_all_images_are_left_alone() -> None:
    """A release before kept sums as well, and a later step could begin to keep features."""
    nothing, features = spec(forgettable="nothing"), spec()
    first = step(nothing, None, [(0, IMAGES[0]), (1, IMAGES[1])], (0, 0))
    second = step(nothing, first, [(2, IMAGES[2])], (0, 0, 1))
    own = step(features, None, [(0, IMAGES[2])], (0,)).state.parts["features.0.0"]
    parts = {**second.state.parts, "features.2.0": own}
    mixed = replace(second, state=State(parts, second.state.tasks))
    third, never = (
        step(of, base, [(3, IMAGES[3])], (0, 0, 1, 2))
        for of, base in ((features, mixed), (nothing, second))
    )
    assert torch.equal(head(third.state), head(never.state))
    assert removed(features, mixed, 1).residual == ("analytic",)
    assert not any(name.startswith("features") for name in third.state.parts)


def test_versions_share_backbone_and_features() -> None:
    first = step(spec(), None, [(0, IMAGES[0]), (1, IMAGES[1])], (0, 0))
    second = step(spec(), first, [(2, IMAGES[2])], (0, 0, 1))
    shared = {"preprocess", "backbone", "features.0.0", "features.1.0"}
    for name in shared:
        assert encode(first.state.parts[name]) == encode(second.state.parts[name])
    kept = second.state.parts["features.2.0"]["features"]
    assert (kept.dtype, tuple(kept.shape)) == (torch.float16, (12, 64))


def test_the_same_bits_again() -> None:
    once, again = two_steps(spec(), measured=(0, 3)), two_steps(spec(), measured=(0, 3))
    for name, part in once.state.parts.items():
        assert encode(part) == encode(again.state.parts[name])


def test_a_faster_engine_runs_all_that_is_extracted_and_measured() -> None:
    seen: list[tuple[nn.Module, int]] = []

    def compiled(trunk: Trunk) -> Runner:
        def run(images: Tensor) -> Sequence[Tensor]:
            seen.append((trunk.backbone, len(images)))
            return trunk(images)

        return run

    first = step(spec(), None, [(0, IMAGES[0]), (1, IMAGES[1])], (0, 0))
    of_first = {"measured": (0, 1, 2), "tasks": (0, 0, 1)}
    plain = step(spec(), first, [(2, IMAGES[2])], **of_first)
    fast = step(spec(), first, [(2, IMAGES[2])], **of_first, compile_trunk=compiled)
    # The images to learn and those held out, with one network.
    assert [count for _, count in seen] == [len(IMAGES[2]), 3 * 6]
    assert seen[0][0] is seen[1][0]
    assert fast.metrics == plain.metrics
    for name, part in plain.state.parts.items():
        assert encode(part) == encode(fast.state.parts[name])
    check_read_back(spec(), fast.state, fast.sample)


def test_a_version_is_read_back() -> None:
    result = two_steps(spec(), measured=(0, 1))
    check_read_back(spec(), result.state, result.sample)
    images = torch.cat([photographs(label, 3, seed=5) for label in range(4)])
    scores = load_servable(spec(), result.state)(images).scores
    assert scores.argmax(dim=1).tolist() == [label for label in range(4) for _ in range(3)]
    method = restore(spec(), result.state)
    assert encode(method.state()["features.3.0"]) == encode(result.state.parts["features.3.0"])


@pytest.mark.parametrize("counts", [(1, 1), (1,), (4,), (1, 3)])
def test_few_images(counts: tuple[int, ...]) -> None:
    parts = [(column, IMAGES[column][:count]) for column, count in enumerate(counts)]
    result = step(spec(), None, parts, (0,) * len(counts), measured=range(len(counts)))
    assert result.state.finite


def test_a_given_alpha_is_taken() -> None:
    assert two_steps(spec(alpha=0.7)).metrics["report"]["alpha"] == 0.7


def test_random_weights_are_refused() -> None:
    with pytest.raises(InvalidSpecError, match="set weights to DEFAULT"):
        validate(Spec(method="analytic", backbone="resnet32"))


def test_the_projection_is_on_a_subspace_and_keeps_lengths() -> None:
    stored = two_steps(spec()).state.parts["backbone"]["projection"].double()
    length, dimensions = stored.shape
    torch.testing.assert_close(
        stored.T @ stored,
        torch.eye(dimensions, dtype=torch.double) * length / dimensions,
        rtol=0,
        atol=1e-4,
    )
    drawn = torch.randn(
        length, 2000, dtype=torch.double, generator=torch.Generator().manual_seed(0)
    )
    lengths = (stored.T @ drawn).norm(dim=0) / drawn.norm(dim=0)
    assert 0.98 < lengths.square().mean() < 1.02
    # Their deviation is that of a share with a Beta distribution, (M/2, (L - M)/2).
    assert 0.9 < lengths.square().std() / (2 * (1 / dimensions - 1 / length)) ** 0.5 < 1.1


def test_later_steps_keep_the_projection_that_a_version_has() -> None:
    """Versions of earlier releases have one whose columns are not orthogonal."""
    first = step(spec(), None, [(0, IMAGES[0]), (1, IMAGES[1])], (0, 0))
    own = torch.randn_like(first.state.parts["backbone"]["projection"])
    parts = {
        **first.state.parts,
        "backbone": {**first.state.parts["backbone"], "projection": own},
    }
    earlier = replace(first, state=replace(first.state, parts=parts))
    later = step(spec(), earlier, [(2, IMAGES[2]), (3, IMAGES[3])], (0, 0, 1, 1))
    assert torch.equal(later.state.parts["backbone"]["projection"], own)


def test_any_backbone_with_levels() -> None:
    """Random weights, which `check` refuses, show that its maps have the right shapes."""
    for name in ("convnet", "resnet20", "squeezenet1_1", "resnet18"):
        of = Spec(method="analytic", backbone=name, image_size=64, options={"dimensions": 4096})
        method = get("analytic")
        network = method.prepare(of, networks.build(name, 0)).eval()
        with torch.inference_mode():
            features = network.backbone(torch.randn(2, 3, 64, 64)).pooled
        assert features.shape == (2, network.head.feature_dim)
        # Not projected: each level has length 1.
        assert (
            features.square().sum(dim=1).round().tolist()
            == [features[0].square().sum().round()] * 2
        )
