"""Standard errors against numpy, and the leave-one-out accuracy that stands in."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from models import left_out, version_warnings
from models.classify import Output
from models.evaluate import measure
from models.standard_errors import binomial, of_hits


def robust(hits: Sequence[bool], groups: Sequence[int]) -> float:
    """The sandwich of a regression on a constant, (XᵀX)⁻¹ Σ_g X_gᵀe_g e_gᵀX_g (XᵀX)⁻¹."""
    y, of = np.array(hits, dtype=float), np.array(groups)
    x = np.ones((len(y), 1))
    e = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    bread = np.linalg.inv(x.T @ x)
    names = np.unique(of)
    scores = [x[of == g].T @ e[of == g] for g in names]
    meat = sum(np.outer(s, s) for s in scores) * len(names) / (len(names) - 1)
    return float(np.sqrt(bread @ meat @ bread)[0, 0])


@pytest.mark.parametrize("seed", range(5))
def test_both_kinds(seed: int) -> None:
    draw = np.random.default_rng(seed)
    hits, groups = draw.random(60) < 0.8, draw.integers(0, 9, 60)
    p = hits.mean()
    found = of_hits(torch.from_numpy(hits), None)
    assert found == pytest.approx(np.sqrt(p * (1 - p) / 60))
    found = of_hits(torch.from_numpy(hits), torch.from_numpy(groups))
    assert found == pytest.approx(robust(hits.tolist(), groups.tolist()))


def test_a_group_that_is_all_right_or_all_wrong_is_as_good_as_one_image() -> None:
    hits = torch.tensor([True] * 3 + [False] + [True]).repeat_interleave(10)
    groups = torch.arange(5).repeat_interleave(10)
    # Five independent shares: their deviation over √5.
    assert of_hits(hits, groups) == pytest.approx(np.std([1, 1, 1, 0, 1], ddof=1) / math.sqrt(5))
    assert of_hits(hits, None) == pytest.approx(math.sqrt(0.8 * 0.2 / 50))


def test_where_nothing_can_be_said() -> None:
    assert of_hits(torch.zeros(0, dtype=torch.bool), None) is None
    assert of_hits(torch.tensor([True, False]), torch.tensor([4, 4])) is None
    assert binomial(None, 0) is None


def test_metrics_say_what_they_rest_on() -> None:
    columns = torch.tensor([0, 0, 0, 0, 1, 1, 1])
    named = torch.tensor([0, 0, 1, 0, 1, 1, 0])
    output = Output(torch.nn.functional.one_hot(named, 3).double().log())
    groups = torch.tensor([0, 0, 1, 1, -5, 2, 2])
    hits = (named == columns).numpy()
    plain = measure(output, columns, (0, 0, 0), None)
    assert plain["standard_error"] == pytest.approx(np.sqrt(5 / 7 * 2 / 7 / 7))
    assert (plain["standard_error_kind"], plain["measured_on_groups"]) == ("binomial", None)
    assert plain["per_class_measured_on"] == [4, 3, 0]
    errors = [np.sqrt(3 / 4 / 4 / 4), np.sqrt(2 / 3 / 3 / 3)]
    assert plain["per_class_standard_error"] == [*map(pytest.approx, errors), None]
    assert plain["router_standard_error"] is None
    of_groups = measure(output, columns, (0, 0, 0), None, groups=groups)
    assert of_groups["accuracy"] == plain["accuracy"]
    assert of_groups["standard_error"] == pytest.approx(robust(hits.tolist(), groups.tolist()))
    assert of_groups["task_aware_standard_error"] == of_groups["standard_error"]
    assert of_groups["standard_error_kind"] == "cluster_robust"
    assert of_groups["measured_on_groups"] == 4
    assert of_groups["per_class_standard_error"][0] == pytest.approx(
        robust(hits[:4].tolist(), [0, 0, 1, 1])
    )
    none = measure(None, columns[:0], (0,), None)
    assert (none["standard_error"], none["standard_error_kind"]) == (None, None)


REPORT = {"alpha": 0.1, "leave_one_out": {"accuracy": 0.75, "images": 48}}


def test_leaving_out_stands_in_where_little_is_held_out() -> None:
    found = left_out.accuracy(REPORT, 19, grouped=False)
    assert found == {
        "accuracy": 0.75,
        "images": 48,
        "standard_error": pytest.approx(np.sqrt(0.75 * 0.25 / 48)),
        "grouped": False,
    }
    assert left_out.accuracy(REPORT, 20, grouped=False) is None
    assert left_out.accuracy({}, 0, grouped=False) is None
    (few,) = version_warnings.of_accuracy(2, 4, found)
    assert few.startswith("only 4 images are held out, and chance alone")
    assert "each judged as if it had not been learnt" in few
    (none,) = version_warnings.of_accuracy(2, 0, found)
    assert none.startswith("no image is held out, so the accuracy is that on learnt images")
    (alone,) = version_warnings.of_accuracy(2, 4, None)
    assert alone.startswith("only 4 images are held out, so chance alone moves the accuracy by up")
    grouped = left_out.accuracy(REPORT, 0, grouped=True)
    assert grouped is not None
    assert grouped["standard_error"] is None
    assert "too high" in version_warnings.of_accuracy(2, 0, grouped)[0]
    assert version_warnings.of_accuracy(2, 4, grouped) == [alone]
