"""Predictions run on the device that a setting names, or the service does not start."""

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError

from app.inference.devices import DeviceMissingError, module_on, packed, predict_device, unpacked
from app.settings import Settings
from models.classify import Output
from models.serving import load_servable
from tests.models.conftest import Chain, chain, pictures, task_images  # noqa: F401 - a fixture


def test_the_cpu_is_always_there() -> None:
    assert predict_device(Settings()) == torch.device("cpu")


def test_a_gpu_that_is_missing_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceMissingError, match=r"sees no GPUs here\. Set it to cpu"):
        predict_device(Settings(predict_device="cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceMissingError, match=r"ACCRUE_PREDICT_DEVICE is cuda:1.*sees 1 GPU "):
        predict_device(Settings(predict_device="cuda:1"))


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cpu:0", "mps"])
def test_other_devices_are_refused(device: str) -> None:
    with pytest.raises(ValidationError):
        Settings(predict_device=device)


def test_an_engine_for_the_cpu_is_refused_with_a_gpu() -> None:
    with pytest.raises(ValidationError, match="leave one of them out"):
        Settings(predict_device="cuda", engine="torchscript")
    assert Settings(predict_device="cuda", engine="torch").engine == "torch"


def test_an_engine_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.settings.find_spec", lambda _name: None)
    with pytest.raises(ValidationError, match=r"pip install 'accrue\[fast\]'"):
        Settings(engine="openvino")
    assert Settings().engine == "auto"


def test_what_is_packed_comes_out_as_it_was() -> None:
    scores, deviations = torch.randn(3, 4), torch.randn(3, 5)
    output = Output(scores, tasks=torch.tensor([0, 1, 0]), deviations=deviations)
    together = packed(output)
    assert together.shape == (3, 9)
    found = unpacked(together, output)
    assert torch.equal(found.log_scores, scores)
    assert found.deviations is not None
    assert torch.equal(found.deviations, deviations)
    assert (found.distances, found.tasks) == (None, None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that PyTorch can use")
@pytest.mark.parametrize("method", ["icarl", "packnet", "lwf"])
def test_a_gpu_says_what_the_cpu_says(chain: Callable[..., Chain], method: str) -> None:  # noqa: F811
    learner = chain(method)
    for task in (0, 1):
        learner.learn(task_images(task))
    state, images = learner.results[-1].state, pictures(1, 9)
    device = predict_device(Settings(predict_device="cuda"))
    module = module_on(load_servable(learner.spec, state, device="cuda"), device)
    with torch.inference_mode():
        found, expected = module(images), load_servable(learner.spec, state)(images)
    for name in ("log_scores", "distances", "deviations"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.device.type == "cpu"
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
