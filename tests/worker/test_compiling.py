"""Jobs run networks that they do not train on a faster engine, where that pays."""

from dataclasses import replace

import pytest
import torch
from structlog.testing import capture_logs

from app.db.engine import Database
from app.services.advice import creation
from app.services.advice.ending import Advised
from app.services.advice.requests import AdviceRequest
from app.services.steps.evaluating import Evaluated
from app.services.steps.publication import Outcome
from app.settings import Settings
from models.engines.engine import Kind
from models.engines.openvino import OpenVINO
from models.state import decode
from models.trunks import Trunk, as_it_is
from tests.app.services.steps.test_forgetting import claimed
from tests.databases import ONE_KIND_AT_FIRST
from tests.models.test_engines import NO_OPENVINO
from tests.worker.harness import WORKSPACE, Service, nothing
from tests.worker.test_correct import attempt, done, held_out
from worker import child, compiling
from worker.attempt import Attempt
from worker.compiling import Compiler

pytestmark = [ONE_KIND_AT_FIRST, NO_OPENVINO]
SIZE = 32


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    """A service with a classifier whose network no step changes."""
    service = Service(database, settings)
    service.classifier(
        method="analytic",
        backbone="efficientnet_lite0",
        weights="DEFAULT",
        image_size=SIZE,
        options={"dimensions": 64},
        validation_fraction=0.2,
    )
    return service


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Kind]:
    """What OpenVINO compiles from now on, for however few images."""
    seen: list[Kind] = []
    plain = OpenVINO.compile

    def counted(engine: OpenVINO, trunk: Trunk, kind: Kind) -> object:
        seen.append(kind)
        return plain(engine, trunk, kind)

    monkeypatch.setattr(OpenVINO, "compile", counted)
    monkeypatch.setattr(compiling, "_WORTH", 1)
    return seen


def with_engine(found: Attempt, engine: str) -> Attempt:
    return replace(found, resources=replace(found.resources, engine=engine))


def test_a_step_keeps_the_features_that_pytorch_makes(
    service: Service, compiled: list[Kind]
) -> None:
    _, plan = claimed(service, service.learn(service.upload("a", "b", count=10)))
    features = []
    for engine, count in (("torch", 0), ("auto", 1)):
        run = with_engine(attempt(service, plan, []), engine)
        outcome = child.run(run)
        assert isinstance(outcome, Outcome), outcome
        # The images that are learnt and those that are held out have one network.
        assert len(compiled) == count
        part = decode(run.tensors.get(outcome.parts["features.0.0"].sha256))
        features.append(part["features"].float())
        assert outcome.metrics["measured_on"] == 4
    # Half precision has eleven bits: the last of some may differ.
    torch.testing.assert_close(*features, rtol=0, atol=2**-10 * float(features[0].abs().max()))


def test_edits_measure_with_it_too(service: Service, compiled: list[Kind]) -> None:
    with capture_logs() as logged:
        done(service, service.learn(service.upload("a", "b", "c", count=10)))
        done(service, service.forget("a"))
        done(service, service.correct({held_out(service, 2)[1][0]: None}))
    assert [kind.method for kind in compiled] == ["analytic"] * 3
    assert "network_not_compiled" not in [line["event"] for line in logged]


def test_networks_that_steps_change_are_never_compiled(
    service: Service, compiled: list[Kind]
) -> None:
    service.classifier("trained", method="finetune", options={"epochs": 1})
    done(service, service.learn(service.upload("a", "b", count=10), name="trained"))
    done(service, service.learn(service.upload("c", count=10), name="trained"))
    assert compiled == []


@pytest.mark.parametrize("method", ["analytic", "finetune"])
def test_an_evaluation_says_what_pytorch_says(
    service: Service, compiled: list[Kind], method: str
) -> None:
    """Also of a network that was trained: an evaluation trains none."""
    name = "toy" if method == "analytic" else service.classifier("other", method=method)
    done(service, service.learn(service.upload("a", "b", count=10), name))
    compiled.clear()
    upload = service.upload("a", "b", count=8, split="test")
    _, plan = claimed(service, service.evaluate(upload, name=name))
    found = {}
    for engine, count in (("torch", 0), ("openvino", 1)):
        result = child.run(with_engine(attempt(service, plan, []), engine))
        assert isinstance(result, Evaluated), result
        assert len(compiled) == count
        found[engine] = {row.sha256: row for row in result.images}
    assert len(found["torch"]) == 16
    for sha256, row in found["torch"].items():
        other = found["openvino"][sha256]
        assert (other.label, other.predicted) == (row.label, row.predicted)
        assert other.score == pytest.approx(row.score, abs=1e-3)


def test_advice_runs_pretrained_networks_on_it(service: Service, compiled: list[Kind]) -> None:
    request = AdviceRequest(uploads=[service.upload("a", "b", count=8)], seconds=1)
    job = creation.create(service.db, WORKSPACE, request, on_created=nothing)
    _, plan = claimed(service, job.id)
    result = child.run(attempt(service, plan, []))
    assert isinstance(result, Advised), result
    assert compiled[0] == Kind("analytic", "efficientnet_lite0", 96)


def test_few_images_are_not_worth_it(service: Service) -> None:
    _, plan = claimed(service, service.learn(service.upload("a", "b", count=10)))
    own = attempt(service, plan, [])
    enough = compiling._WORTH // SIZE**2
    assert compiling.of(own, own.spec, enough - 1) is as_it_is
    assert isinstance(compiling.of(own, own.spec, enough), Compiler)
    for engine in ("torch", "torchscript"):
        assert compiling.of(with_engine(own, engine), own.spec, enough) is as_it_is
    assert isinstance(compiling.of(with_engine(own, "openvino"), own.spec, enough), Compiler)
    on_gpu = replace(own, resources=replace(own.resources, device="cuda"))
    assert compiling.of(on_gpu, own.spec, enough) is as_it_is


def test_without_openvino_pytorch_runs_all(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan = claimed(service, service.learn(service.upload("a", "b", count=10)))
    monkeypatch.setattr(compiling, "find_spec", lambda _name: None)
    own = attempt(service, plan, [])
    assert compiling.of(own, own.spec, 10**6) is as_it_is
