"""Advice: what is measured within the time, and which row is recommended."""

import itertools
from collections.abc import Callable
from fractions import Fraction
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional

from models import networks
from models.advice import Candidate, JudgedImages, LeftOut, Row, advise
from models.advice.advising import Doing
from models.advice.rows import bytes_per_class
from models.advice.training import Extent, evenly, extent, try_training
from models.advice.trials import TimeUpError, Trials, try_analytic
from models.advice.verdict import recommend, warnings
from models.errors import Cancelled
from models.figures import standard_error
from models.learner import learn
from models.spec import Spec
from models.state import State
from models.trunks import Compile, Runner, Trunk, as_it_is

LITE0 = Candidate("analytic", "efficientnet_lite0", "DEFAULT", 32)


def clock_of(step: float) -> Callable[[], float]:
    """A clock by which so many seconds pass from one look to the next."""
    return itertools.count(0.0, step).__next__


def digits(
    count: int = 40,
    classes: int = 4,
    *,
    apart: bool = False,
    held_out: int = 5,
    groups: Tensor | None = None,
) -> JudgedImages:
    """Digits, of which every one of `held_out` is held out."""
    found = load_digits(n_class=classes)
    images = torch.from_numpy(found.images[:count] * 15.9).to(torch.uint8)[:, None]

    def pixels(size: int) -> Tensor:
        large = functional.interpolate(images.float(), size=size, mode="bilinear")
        return large.to(torch.uint8).repeat(1, 3, 1, 1)

    return JudgedImages(
        columns=torch.from_numpy(found.target[:count]),
        sizes=torch.arange(count) + 100,
        held_out=torch.arange(count) % held_out == 0,
        apart=apart,
        groups=groups,
        classes=classes,
        small=True,
        sent=count,
        pixels=pixels,
        pixel_rules=1,
    )


def trials(images: JudgedImages, step: float = 1e-3) -> Trials:
    return Trials(
        images, "cpu", None, clock_of(step), lambda: False, lambda _spec, _images: as_it_is
    )


def nothing(_done: float) -> None:
    pass


def row(accuracy: float | None, **fields: Any) -> Row:
    candidate = Candidate(fields.pop("method", "analytic"), "efficientnet_lite0", "DEFAULT", 96)
    error = None if accuracy is None else standard_error(accuracy, 400)
    given = {"standard_error": error, "measured_on": 400, "measured": "held_out", **fields}
    return Row(candidate, accuracy, trained_on=400, seconds=1.0, **given)


@pytest.mark.parametrize(("hits", "images"), [(0, 5), (7, 10), (10, 10), (1999, 2000)])
def test_the_standard_error_is_that_of_a_binomial_share_and_never_zero(
    hits: int, images: int
) -> None:
    p = Fraction(hits + 1, images + 2)
    expected = sqrt(p * (1 - p) / images)
    assert standard_error(hits / images, images) == pytest.approx(expected)
    assert expected > 0


def test_what_a_class_keeps_is_counted_without_what_classes_share() -> None:
    part = {"rows": torch.zeros(4, 10)}
    state = State(
        {
            "backbone": {"w": torch.zeros(4, 100)},
            "preprocess": {"mean": torch.zeros(3)},
            "analytic": {"sums": torch.zeros(4, 10), "scatter": torch.zeros(10, 10)},
            "head.0": part,
            "features.0.0": part,
        },
        (0,) * 4,
    )
    sums = 4 * 10 * 4
    header = bytes_per_class(State({"head.0": part}, (0,) * 4), 4) * 4 - sums
    assert bytes_per_class(state, 4) == round((sums + 2 * (sums + header)) / 4)
    # With half of the images learnt, all of them would leave twice as many features.
    assert bytes_per_class(state, 4, 0.5) == round((sums + 3 * (sums + header)) / 4)


@pytest.mark.parametrize(
    ("affordable", "expected"),
    [(1e9, (100, 70)), (7000, (100, 70)), (3000, (100, 30)), (1000, (66, 15))],
)
def test_epochs_are_fewer_first_and_then_images(
    affordable: float, expected: tuple[int, int]
) -> None:
    assert extent(affordable, 100, 70, 2) == expected


def test_too_little_time_is_said_and_what_was_cut_as_well() -> None:
    with pytest.raises(TimeUpError, match="too short"):
        extent(15 * 15, 100, 70, 2)
    assert Extent(100, 70).cut(100, 70) is None
    assert "66 of 100 images and 15 of 70 epochs" in (Extent(66, 15).cut(100, 70) or "")


def test_images_are_taken_evenly_by_class() -> None:
    columns = torch.tensor([0] * 2 + [1] * 50 + [2] * 9)
    taken = columns[evenly(columns, 20, 3)]
    assert torch.bincount(taken).tolist() == [2, 9, 9]
    assert len(evenly(columns, 1, 3)) == 3  # each class keeps one
    assert len(evenly(columns, 1000, 3)) == 61


def test_the_fastest_that_forgets_exactly_is_recommended_within_a_standard_error() -> None:
    best = row(0.980, prediction_seconds=0.030)
    near = row(0.975, prediction_seconds=0.010)
    partly = row(0.979, method="icarl", prediction_seconds=0.001, residual=("backbone",))
    far = row(0.900, prediction_seconds=0.001)
    found = recommend([best, far, partly, near])
    assert found is not None
    assert found.row == 3
    assert "97.5 % of 400" in found.why
    assert "0.5 points more" in found.why
    found = recommend([far, row(0.999, method="icarl", residual=("backbone",))])
    assert found is not None
    assert found.row == 1
    assert "exactly" not in found.why


def test_without_a_measurement_nothing_is_recommended() -> None:
    assert recommend([row(None)]) is None
    assert recommend([]) is None
    assert "Nothing could be measured" in warnings([row(None)])[0]
    assert warnings([row(0.9)]) == []
    assert "rest on 40 images" in warnings([row(0.9, measured_on=40)])[0]


def test_each_image_is_left_out_or_those_apart_are_measured_on() -> None:
    images = digits(apart=True)
    apart = try_analytic(trials(images), LITE0, nothing, None)
    assert (apart.measured, apart.measured_on, apart.trained_on) == ("held_out", 8, 32)
    positions = torch.arange(40)
    step = images.step(
        images.pixels(32), positions[~images.held_out], positions[images.held_out], (0,) * 4
    )
    assert apart.accuracy == learn(LITE0.spec(), None, step, device="cpu").metrics["accuracy"]
    whole = try_analytic(trials(digits()), LITE0, nothing, None)
    assert (whole.measured, whole.measured_on, whole.trained_on) == ("leave_one_out", 40, 40)
    assert whole.residual == ()
    assert whole.forgetting is None
    assert whole.bytes_per_class > 10 * 2 * 1024  # ten images' features in float16
    assert whole.prediction_seconds == whole.seconds == 1e-3  # by a clock that nobody else looks at


def test_images_of_a_group_are_no_independent_measurements() -> None:
    # Ten groups, two of which are held out.
    groups = torch.arange(40) % 10
    found = try_analytic(trials(digits(apart=True, groups=groups)), LITE0, nothing, None)
    alone = try_analytic(trials(digits(apart=True, groups=torch.arange(40))), LITE0, nothing, None)
    single = try_analytic(trials(digits(apart=True, groups=groups * 0)), LITE0, nothing, None)
    assert found.accuracy == alone.accuracy == single.accuracy
    assert found.accuracy is not None
    assert alone.standard_error is not None
    assert alone.standard_error == pytest.approx(standard_error(found.accuracy, 8), rel=0.2)
    assert single.standard_error == standard_error(found.accuracy, 1)
    assert found.standard_error is not None
    assert found.standard_error >= standard_error(found.accuracy, 8)


def test_a_single_class_has_a_row_without_figures() -> None:
    found = try_analytic(trials(digits(10, classes=1)), LITE0, nothing, None)
    assert (found.accuracy, found.standard_error, found.measured_on) == (None, None, 0)


def test_a_method_that_trains_learns_in_two_tasks_beside_exemplars(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = digits(80, held_out=4)
    steps: list[Any] = []
    really = Trials.learn

    def spied(self: Trials, spec: Any, base: Any, step: Any, *more: Any, **given: Any) -> Any:
        result = really(self, spec, base, step, *more, **given)
        steps.append((spec, step, result))
        return result

    monkeypatch.setattr(Trials, "learn", spied)
    icarl = Candidate("icarl", "convnet", None, 16)
    found = try_training(trials(images, step=0.5), icarl, nothing, until=500.0)
    # Two short trainings tell the pace; then come the two tasks.
    assert [spec.options["epochs"] for spec, *_ in steps[:2]] == [1, 3]
    (first_spec, first, first_result), (_, second, _) = steps[2:]
    assert found.cut is not None
    assert f"{first_spec.options['epochs']} of 70 epochs" in found.cut
    pixels = images.pixels(16)
    identity = {pixels[position].numpy().tobytes(): position for position in range(80)}

    def positions(of: Tensor) -> list[int]:
        return [identity[image.numpy().tobytes()] for image in of]

    for step, classes in ((first, {0, 1}), (second, {2, 3})):
        trained_on, measured = positions(step.images), positions(step.held_out)
        assert not images.held_out[trained_on].any()
        assert images.held_out[measured].all()
        assert images.columns[trained_on].tolist() == step.columns.tolist()
        assert set(step.columns[step.fresh].tolist()) == classes
    exemplars = [
        positions(first.images[first_result.rankings[column][: first_result.kept[column]]])
        for column in (0, 1)
    ]
    assert positions(second.images[~second.fresh]) == [*exemplars[0], *exemplars[1]]
    assert found.measured_on == len(second.held_out) == 20
    assert found.forgetting is not None
    assert "backbone" in found.residual
    assert found.trained_on == len(first.images) + int(second.fresh.sum())


def test_the_time_bounds_all_but_the_first_row() -> None:
    doing: list[Doing] = []
    told: list[Row | LeftOut] = []
    advice = advise(
        digits(),
        1.0,
        device="cpu",
        clock=clock_of(10.0),
        report=doing.append,
        measured=told.append,
    )
    (only,) = advice.rows
    assert only.candidate == Candidate("analytic", "efficientnet_lite0", "DEFAULT", 96)
    assert (only.measured_on, only.cut) == (40, None)
    assert {left_out.candidate.method for left_out in advice.left_out} == {
        "analytic",
        "replay",
        "icarl",
    }
    assert all("time" in left_out.reason for left_out in advice.left_out)
    assert told == [*advice.rows, *advice.left_out]
    assert advice.recommendation is not None
    assert advice.recommendation.row == 0
    fractions = [each.fraction for each in doing]
    assert fractions == sorted(fractions)
    assert doing[0].phase == "extracting"
    assert doing[-1].phase == "training"


def test_networks_that_are_not_trained_run_as_they_are_compiled() -> None:
    compiled: list[tuple[str, int, int]] = []

    def compile_of(spec: Spec, images: int) -> Compile:
        def compile_trunk(trunk: Trunk) -> Runner:
            compiled.append((spec.backbone, spec.image_size, images))
            return trunk

        return compile_trunk

    advise(digits(), 1.0, device="cpu", clock=clock_of(10.0), compile_of=compile_of)
    assert compiled == [("efficientnet_lite0", 96, 40)]


def test_a_stop_is_not_taken_for_the_end_of_the_time() -> None:
    with pytest.raises(Cancelled):
        advise(digits(), 1.0, device="cpu", should_stop=lambda: True)


def test_installed_are_packages_and_files_in_the_folder(tmp_path: Path) -> None:
    packaged = [("efficientnet_lite0", "DEFAULT"), ("efficientnet_lite2", "DEFAULT")]
    assert networks.installed(None) == networks.installed(tmp_path) == packaged
    (tmp_path / "squeezenet1_1-b8a52dc0.pth").touch()
    (tmp_path / "resnet50-0676ba61.pth").touch()  # the weights before the default ones
    found = networks.installed(tmp_path)
    assert ("squeezenet1_1", "IMAGENET1K_V1") in found
    assert ("resnet50", "IMAGENET1K_V1") in found
    assert len(found) == 4
