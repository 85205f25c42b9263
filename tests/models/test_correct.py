"""Correcting labels: exactly as if they had always been right, or said to be otherwise."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from models.classify import class_mean
from models.discriminant import Discriminant, Statistics
from models.edits import correct
from models.errors import LearningError
from models.kept_features import KeptFeatures
from models.learner import learn, restore
from models.methods import check_correct, describe_methods
from models.spec import Spec
from models.state import State, encode
from models.step import Corrected, Correction, StepData, StepResult

from .conftest import Chain, pictures
from .test_analytic import SIZE, close, head, photographs, spec
from .test_forget import learnt

ANALYTIC = spec()


def digest(number: int) -> bytes:
    return bytes([number]) * 32


def digests(numbers: Sequence[int]) -> Tensor:
    return torch.tensor([list(digest(number)) for number in numbers], dtype=torch.uint8)


def kept(features: Tensor, columns: Sequence[int], classes: int) -> KeptFeatures:
    """Features in two steps; image n has the digest n."""
    found, half = KeptFeatures(), len(features) // 2
    for rows in (range(half), range(half, len(features))):
        at = torch.tensor(list(rows))
        own = torch.tensor(columns)[at]
        found.add(features[at], own, digests(rows), classes)
    return found


def as_set(found: KeptFeatures) -> set[tuple[int, bytes, tuple[float, ...]]]:
    return {
        (column, name, tuple(row.tolist()))
        for column, parts in enumerate(found.by_column)
        for rows in parts
        for name, row in zip(rows.each_digest(), rows.features, strict=True)
    }


def test_corrected_features_solve_as_those_of_the_right_labels() -> None:
    """I: moving and leaving out equals learning the rest from scratch, to 1e-10."""
    draws = torch.Generator().manual_seed(3)
    features = torch.randn(40, 12, generator=draws).half()
    wrong = torch.arange(40) % 4
    right = wrong.clone()
    right[3], right[7], right[20] = 0, 2, 3
    stays = torch.ones(40, dtype=torch.bool)
    stays[[5, 11]] = False
    changed = [(n, int(wrong[n]), int(right[n])) for n in (3, 7, 20)]
    images = [Correction((digest(n),), (before,), after) for n, before, after in changed]
    images += [Correction((digest(n),), (int(wrong[n]),), None) for n in (5, 11)]
    before = kept(features, wrong.tolist(), 4)
    after = before.corrected(images)
    numbers = stays.nonzero().flatten()
    assert as_set(after) == as_set(kept(features, right.tolist(), 4)) - {
        (int(wrong[n]), digest(n), tuple(features[n].tolist())) for n in (5, 11)
    }
    found = Discriminant.of(*after.all(), 4)
    scratch = Discriminant(Statistics.of(features[numbers], right[numbers], 4))
    for one, other in zip(found.solve(0.1), scratch.solve(0.1), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
    # Parts in which nothing changed are the very ones, which versions share.
    untouched = [rows for kept_now in before.by_column for rows in kept_now]
    assert sum(any(rows is one for one in untouched) for rows in after.by_column[1]) == 1


def test_a_picture_in_two_classes_or_two_files_is_one_image_then() -> None:
    features = torch.arange(12.0).view(6, 2).half()
    both = kept(features, [0, 0, 1, 1, 0, 1], 2)
    # The picture is in the files 0 (of class 0) and 2 (of class 1), and in a file never learnt.
    picture = (digest(0), digest(2), digest(99))
    after = both.corrected([Correction(picture, (0, 1), 1)])
    assert {(column, name) for column, name, _ in as_set(after)} == {
        (column, digest(n)) for column, n in ((0, 1), (1, 2), (1, 3), (0, 4), (1, 5))
    }
    after = both.corrected([Correction(picture, (0, 1), None)])
    assert len(as_set(after)) == 4


def test_features_without_digests_cannot_be_told_apart() -> None:
    some = kept(torch.ones(4, 2).half(), [0, 0, 1, 1], 2)
    with pytest.raises(LearningError, match="are not kept"):
        some.corrected([Correction((digest(9),), (0,), 1)])
    parts = {name: {"features": part["features"]} for name, part in some.parts()}
    with pytest.raises(LearningError, match="an older release"):
        KeptFeatures.load(parts, 2).corrected([Correction((digest(0),), (0,), 1)])


def step_of(
    columns: Tensor, images: Tensor, held_out: Tensor, held_out_columns: Tensor
) -> StepData:
    return StepData(
        images=images,
        columns=columns,
        sizes=torch.full((len(images),), 100),
        fresh=torch.ones(len(images), dtype=torch.bool),
        held_out=held_out,
        held_out_columns=held_out_columns,
        tasks=(0, 0, 0),
        digests=digests(range(len(images))),
    )


def test_analytic_is_as_if_the_label_had_been_right() -> None:
    images = torch.cat([photographs(label, 8) for label in range(3)])
    right = torch.arange(3).repeat_interleave(8)
    wrong = right.clone()
    wrong[[2, 17]] = torch.tensor([1, 0])
    measured = torch.cat([photographs(label, 6, seed=9) for label in range(3)])
    measured_right = torch.arange(3).repeat_interleave(6)
    measured_wrong = measured_right.clone()
    measured_wrong[4] = 2
    before = learn(ANALYTIC, None, step_of(wrong, images, measured, measured_wrong), device="cpu")
    never = learn(ANALYTIC, None, step_of(right, images, measured, measured_right), device="cpu")
    after = edited(
        ANALYTIC,
        before,
        [Correction((digest(2),), (1,), 0), Correction((digest(17),), (0,), 2)],
        (measured, measured_right),
    )
    assert after.residual == ()
    found, expected = (KeptFeatures.load(r.state.parts, 3) for r in (after, never))
    assert as_set(found) == as_set(expected)
    assert after.state.parts["analytic"]["chosen"][0] == never.state.parts["analytic"]["chosen"][0]
    # τ is found by a search, to about half of a float's digits.
    torch.testing.assert_close(head(after.state), head(never.state), rtol=1e-5, atol=1e-5)
    assert after.metrics["accuracy"] == never.metrics["accuracy"]
    assert after.metrics["per_class"] == never.metrics["per_class"]
    assert [len(row) for row in after.metrics["matrix"]] == [1, 1]
    assert after.metrics["accuracies"][0] == before.metrics["accuracies"][0]
    # The backbone never changes, and versions share it.
    assert encode(after.state.parts["backbone"]) == encode(before.state.parts["backbone"])
    # There and back again.
    back = edited(
        ANALYTIC,
        after,
        [Correction((digest(2),), (0,), 1), Correction((digest(17),), (2,), 0)],
        (measured, measured_wrong),
    )
    torch.testing.assert_close(head(back.state), head(before.state), rtol=1e-5, atol=1e-5)


def test_analytic_leaves_images_out() -> None:
    images = torch.cat([photographs(label, 8) for label in range(3)])
    columns = torch.arange(3).repeat_interleave(8)
    none = (images[:0], columns[:0])
    before = learn(ANALYTIC, None, step_of(columns, images, *none), device="cpu")
    after = edited(ANALYTIC, before, [Correction((digest(9),), (1,), None)], none)
    rest = [n for n in range(24) if n != 9]
    never = learn(ANALYTIC, None, step_of(columns[rest], images[rest], *none), device="cpu")
    close(head(after.state), head(never.state))
    assert after.metrics["accuracy"] is None
    with pytest.raises(LearningError, match="forget it instead"):
        edited(ANALYTIC, before, [Correction((digest(n),), (0,), 1) for n in range(8)], none)


def edited(
    of: Spec, base: StepResult, images: Sequence[Correction], measured: tuple[Tensor, Tensor]
) -> StepResult:
    """Correct a version of analytic, which has no exemplars."""
    nothing = torch.empty(0, dtype=torch.int64)
    data = StepData(
        images=torch.empty(0, 3, SIZE, SIZE, dtype=torch.uint8),
        columns=nothing,
        sizes=nothing,
        fresh=nothing.bool(),
        held_out=measured[0],
        held_out_columns=measured[1],
        tasks=base.state.tasks,
    )
    kept_now = (0,) * len(base.state.tasks)
    corrected = Corrected(data, tuple(images), (), kept_now)
    return correct(of, base.state, corrected, device="cpu", history=base.metrics)


def test_without_features_nothing_learnt_is_corrected() -> None:
    with pytest.raises(LearningError, match="forgettable"):
        check_correct(spec(forgettable="nothing"))
    for info in describe_methods():
        check_correct(Spec(method=info.name))


def relabelled(learner: Chain, column: int, target: int | None) -> Corrected:
    """Move the first exemplar of a class to another one, or out, as a service would."""
    memory = dict(learner.memory)
    moved = memory[column][:1]
    memory[column] = memory[column][1:]
    groups = [(own, images, False) for own, images in sorted(memory.items())]
    if target is not None:
        groups.insert(1 + [own for own, *_ in groups].index(target), (target, moved, True))
    count = sum(len(images) for _, images, _ in groups)
    data = StepData(
        images=torch.cat([images for _, images, _ in groups]),
        columns=torch.cat([torch.full((len(i),), own) for own, i, _ in groups]),
        sizes=torch.full((count,), 100),
        fresh=torch.cat([torch.full((len(i),), fresh) for _, i, fresh in groups]),
        held_out=torch.cat(list(learner.held_out.values())),
        held_out_columns=torch.cat([torch.full((len(i),), c) for c, i in learner.held_out.items()]),
        tasks=learner.tasks,
    )
    edited_columns = tuple(c for c in sorted({column, target} - {None}) if c is not None)
    image = Correction((digest(1),), (column,), target)
    return Corrected(data, (image,), edited_columns, learner.results[-1].kept)


@pytest.mark.parametrize("method", ["icarl", "replay"])
@pytest.mark.parametrize("target", [3, None])
def test_rehearsal_recomputes_what_rests_on_exemplars(
    chain: Callable[..., Chain], method: str, target: int | None
) -> None:
    learner = learnt(chain, method, tasks=2)
    before = learner.results[-1]
    corrected = relabelled(learner, 0, target)
    after = correct(learner.spec, before.state, corrected, device="cpu", history=before.metrics)
    assert after.residual == ("backbone", "head")
    assert set(after.rankings) == set(corrected.edited)
    images = {
        column: corrected.data.images[after.rankings[column]]
        if column in after.rankings
        else learner.memory[column]
        for column in range(4)
    }
    # The class that lost an exemplar keeps the order of the others; budgets hold: 12 for 4 classes.
    assert torch.equal(images[0], learner.memory[0][1:])
    assert after.kept == tuple(len(images[column]) for column in range(4))
    assert after.kept[3] == 3
    if target is None:
        assert after.kept[0] == 2
    # Means by hand, of exemplars and their mirror images.
    network = restore(learner.spec, after.state)
    with torch.inference_mode():
        for column in range(4):
            both = torch.cat([images[column], images[column].flip(3)])
            features = network.network(network.preprocess(both)).features
            mean = class_mean(torch.nn.functional.normalize(features))
            found = after.state.parts["means"]["means"][column]
            torch.testing.assert_close(found, mean, rtol=1e-4, atol=1e-5)
    for name in before.state.parts.keys() - {"means", "discriminant", "known", "calibration"}:
        assert encode(after.state.parts[name]) == encode(before.state.parts[name])
    assert [len(row) for row in after.metrics["matrix"]] == [1, 2, 2]


@pytest.mark.parametrize(
    ("method", "residual"),
    [
        ("finetune", ("backbone", "head")),
        ("joint", ("backbone", "head")),
        ("mas", ("backbone", "head", "importance")),
        ("packnet", ("backbone", "head", "router")),
        ("piggyback", ("head", "router", "masks")),
    ],
)
def test_what_stays_is_said(
    chain: Callable[..., Chain], method: str, residual: tuple[str, ...]
) -> None:
    learner = learnt(chain, method, tasks=2)
    before = learner.results[-1]
    corrected = without_exemplars(learner, (Correction((digest(1),), (2,), 3),))
    after = correct(learner.spec, before.state, corrected, device="cpu", history=before.metrics)
    assert after.residual == residual
    assert after.kept == before.kept
    same(before.state, after.state)
    # Held-out images alone leave nothing behind.
    measured = without_exemplars(learner, ())
    assert correct(learner.spec, before.state, measured, device="cpu").residual == ()


def without_exemplars(learner: Chain, images: tuple[Correction, ...]) -> Corrected:
    """What the service gives where no exemplar changes."""
    nothing = torch.empty(0, dtype=torch.int64)
    data = StepData(
        images=pictures(0, 0),
        columns=nothing,
        sizes=nothing,
        fresh=nothing.bool(),
        held_out=torch.cat(list(learner.held_out.values())),
        held_out_columns=torch.cat([torch.full((len(i),), c) for c, i in learner.held_out.items()]),
        tasks=learner.tasks,
    )
    return Corrected(data, images, (), learner.results[-1].kept)


def same(before: State, after: State) -> None:
    for name in before.parts.keys() - {"known"}:
        assert encode(after.parts[name]) == encode(before.parts[name]), name


def test_joint_keeps_the_corrected_images_for_its_next_training(
    chain: Callable[..., Chain],
) -> None:
    learner = learnt(chain, "joint", tasks=1)
    corrected = relabelled(learner, 0, 1)
    after = correct(learner.spec, learner.results[-1].state, corrected, device="cpu")
    assert after.kept == (15, 17)
    assert corrected.data.columns[after.rankings[1]].tolist() == [1] * 17
