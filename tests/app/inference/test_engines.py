"""The settings choose the engines that versions may get."""

import subprocess
import sys

import pytest

from app.inference import engines
from app.settings import Settings
from models.engines.openvino import OpenVINO
from tests.models.test_engines import NO_OPENVINO


@NO_OPENVINO
def test_the_settings_choose_the_engines() -> None:
    def names(**given: object) -> list[str]:
        return [engine.name for engine in engines.of(Settings(**given))]  # type: ignore[arg-type]

    assert names() == ["openvino", "torchscript"]
    assert names(engine="torch") == []
    assert names(engine="openvino") == ["openvino"]
    assert names(engine="torchscript") == ["torchscript"]
    assert names(predict_device="cuda") == []


def test_without_openvino_only_torchscript_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.inference.engines.find_spec", lambda _name: None)
    assert [engine.name for engine in engines.of(Settings())] == ["torchscript"]


@NO_OPENVINO
def test_api_processes_divide_the_cores_among_their_engines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = []
    monkeypatch.setattr(engines, "OpenVINO", lambda *some: given.append(some) or OpenVINO(*some))
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(8)))
    engines.of(Settings(engine="openvino", api_processes=4))
    engines.of(Settings(engine="openvino", api_processes=4, inference_threads=3))
    assert given == [(2, 16), (3, 16)]


@NO_OPENVINO
def test_an_idle_service_does_not_load_openvino() -> None:
    code = (
        "import sys; from app.inference import engines; from app.settings import Settings;"
        "engines.of(Settings()); assert 'openvino' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
