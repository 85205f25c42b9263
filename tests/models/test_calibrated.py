"""What a version stores of its calibration, and that it serves it."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from models import calibrated, calibration, evaluate
from models.classify import Output, restrict
from models.learner import restore
from models.measuring import CPU
from models.serving import load_servable
from tests.models.conftest import Chain, pictures, task_images

IMAGES = torch.cat([pictures(column, 5, seed=3) for column in range(4)])


@pytest.mark.parametrize("method", ["icarl", "lwf", "packnet"])
def test_a_version_serves_what_its_curves_give(chain: Callable[..., Chain], method: str) -> None:
    steps = chain(method)
    steps.learn(task_images(0))
    result = steps.learn(task_images(1))
    curves = result.state.parts[calibrated.PART]
    raw = restore(steps.spec, result.state)
    ways = raw.offered(result.state.parts)
    assert curves.keys() == {f"{way}{end}" for way in ways for end in ("", ".0", ".1")}
    held_out = torch.cat(list(steps.held_out.values()))
    columns = torch.arange(4).repeat_interleave(10)
    for way in ways:
        module = raw.servable(classify=way)
        found = evaluate.predict(module, held_out, CPU)
        # Heads of lwf and packnet were never trained against each other.
        apart = torch.tensor([0, 0, 0, 0] if method == "icarl" else [0, 0, 1, 1])
        fitted = calibration.fit_by_task(found, columns, apart)
        torch.testing.assert_close(curves[way], fitted)
        expected = calibration.calibrate(evaluate.predict(module, IMAGES, CPU), curves[way])
        found = evaluate.predict(load_servable(steps.spec, result.state, classify=way), IMAGES, CPU)
        torch.testing.assert_close(found.log_scores, expected.log_scores, rtol=1e-4, atol=1e-4)
    for task in (0, 1) if raw.needs.task_id else ():
        expected = evaluate.predict(raw.servable(task), IMAGES, CPU)
        expected = calibration.calibrate(expected, curves[f"{ways[0]}.{task}"])
        found = evaluate.predict(load_servable(steps.spec, result.state, task=task), IMAGES, CPU)
        torch.testing.assert_close(found.log_scores, expected.log_scores, rtol=1e-4, atol=1e-4)


def test_versions_without_curves_serve_as_they_did(chain: Callable[..., Chain]) -> None:
    steps = chain("finetune")
    result = steps.learn(task_images(0))
    parts = {name: part for name, part in result.state.parts.items() if name != calibrated.PART}
    old = load_servable(steps.spec, dataclasses.replace(result.state, parts=parts))
    raw = restore(steps.spec, result.state).servable()
    images = IMAGES[:10]
    assert torch.equal(
        evaluate.predict(old, images, CPU).log_scores, evaluate.predict(raw, images, CPU).log_scores
    )


def test_errors_are_of_cross_fitted_scores() -> None:
    draws = torch.Generator().manual_seed(4)
    logs = (2 * torch.randn(60, 4, generator=draws)).log_softmax(dim=1)
    columns, tasks = torch.arange(4).repeat(15), (3, 3, 5, 5)
    curves = calibrated.Curves.of({"softmax": Output(logs)}, columns, tasks, by_task=True)
    task_of = torch.tensor(tasks)
    crossed = calibration.cross_fitted(Output(logs), columns, task_of).log_scores
    found = curves.errors(columns)
    assert found["calibration_error"] == calibration.expected_calibration_error(crossed, columns)
    # By hand, task by task.
    whole = calibration.calibrate(Output(logs), curves.parts["softmax"]).log_scores
    within = torch.full_like(logs, -torch.inf)
    for task, block in ((3, [0, 1]), (5, [2, 3])):
        own = torch.tensor([column in block for column in columns.tolist()])
        mask = torch.tensor([column in block for column in range(4)])
        output = Output(restrict(whole[own], mask)[:, mask])
        rows = columns[own] - block[0]
        fitted = calibration.fit(output.log_scores, rows).tensor()
        torch.testing.assert_close(curves.parts[f"softmax.{task}"], fitted)
        places = own.nonzero()
        crossed = calibration.cross_fitted(output, rows, torch.full((2,), task)).log_scores
        within[places, torch.tensor(block)] = crossed
    expected = calibration.expected_calibration_error(within, columns)
    assert found["task_aware_calibration_error"] == pytest.approx(expected)
