"""A version gets a faster engine while it serves, one that says what PyTorch says."""

import concurrent.futures
import gc
import hashlib
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from torch import Tensor

from app.db.engine import Database
from app.inference import engines
from app.inference.engines import accelerator
from app.inference.registry import Registry
from app.main import create_app
from app.settings import Settings
from app.storage import BlobStore, open_store
from models.engines.engine import Kind
from models.trunks import Trunk
from tests.app import learnt
from tests.app.api.test_metrics import scrape
from tests.app.learnt import png
from tests.databases import ONE_KIND_AT_FIRST
from tests.e2e.harness import wait_for
from tests.models.test_engines import NAMES

pytestmark = ONE_KIND_AT_FIRST

PNG = {"content-type": "image/png"}
BUSY = 40


class Fake:
    """An engine whose runners do what a function makes of the trunk."""

    precision = "fp32"

    def __init__(self, name: str, run: Callable[[Trunk, Tensor], Sequence[Tensor]]) -> None:
        self.name = name
        self.run = run
        self.compiled = 0

    def compile(self, trunk: Trunk, kind: Kind) -> "Fake.Runner":
        self.compiled += 1
        return Fake.Runner(trunk, self.run)

    class Runner:
        bytes = 12_345

        def __init__(self, trunk: Trunk, run: Callable[[Trunk, Tensor], Sequence[Tensor]]) -> None:
            self.trunk, self._run = trunk, run

        def __call__(self, images: Tensor) -> Sequence[Tensor]:
            return self._run(self.trunk, images)


def plain(trunk: Trunk, images: Tensor) -> Sequence[Tensor]:
    return trunk(images)  # type: ignore[no-any-return]


def wrong(trunk: Trunk, images: Tensor) -> Sequence[Tensor]:
    return [made.roll(1, dims=1) for made in trunk(images)]


def broken(trunk: Trunk, images: Tensor) -> Sequence[Tensor]:
    raise RuntimeError("no such operation")


@contextmanager
def serving(settings: Settings, **changed: Any) -> Iterator[tuple[TestClient, Registry]]:
    service = create_app(settings.model_copy(update={"engine": "auto", **changed}))
    with TestClient(service, raise_server_exceptions=False) as client:
        yield client, service.state.registry


def make(settings: Settings, database: Database, store: BlobStore, **given: Any) -> None:
    """Make the classifier "signs", with a live version."""
    with serving(settings) as (client, _):
        body = {**learnt.BODY, "method": given.get("method", "icarl")}
        if body["method"] != "icarl":
            body.pop("memory")
        client.post("/v1/classifiers", json={"name": "signs", **body}).raise_for_status()
        # Those that never change a task once learnt cannot take its images again.
        learnt.publish(database, store, "signs", int(body["method"] == "icarl"), **given)


def predict(client: TestClient, image: bytes, **query: Any) -> dict[str, Any]:
    answer = client.post("/v1/classifiers/signs/predict", content=image, headers=PNG, params=query)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()["results"][0]
    return found


def keep_busy(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    return [predict(client, png(seed), **query) for seed in range(BUSY)]


def engine_of(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/v1/classifiers/signs/versions/live").json()["engine"]
    return found


def chosen(client: TestClient) -> dict[str, Any]:
    """What has been chosen, once it has."""
    wait_for(lambda: engine_of(client)["name"] != "torch" or engine_of(client)["refused"])
    return engine_of(client)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the engines that are tried, and how long each takes of PyTorch's time."""

    def put(fakes: Sequence[Fake], times: dict[str, float]) -> None:
        monkeypatch.setattr(engines, "of", lambda _settings: list(fakes))
        measured = iter(times.values())
        monkeypatch.setattr(accelerator, "relative_time", lambda *_rest: next(measured))

    return put


def close(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    return all(
        one["label"] == other["label"]
        and abs(one["score"] - other["score"]) <= 0.01
        and one["known"] == other["known"]
        for one, other in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["icarl", "packnet"])
def test_a_busy_version_is_swapped_and_says_the_same(
    settings: Settings, database: Database, store: BlobStore, name: str, method: str
) -> None:
    make(settings, database, store, method=method, exemplars=[png(1), png(2)])
    # It is demanded, so that it does not matter how fast it is here.
    with serving(settings, engine=name) as (client, registry):
        assert engine_of(client) is None
        first = keep_busy(client)
        before = registry.cache.bytes
        view = chosen(client)
        assert (view["name"], view["refused"]) == (name, {})
        assert view["checked_on"] == "exemplars"
        assert view["checked_images"] == (6 if method == "icarl" else 4)
        assert view["relative_time"] > 0
        assert close(keep_busy(client), first)
        metrics = scrape(client)
        assert metrics("accrue_engine_versions", engine=name) == 1
        assert metrics("accrue_engine_versions", engine="torch") == 0
        assert metrics("accrue_engine_builds_total", engine=name, outcome="taken") == 1
        # TorchScript holds the same weights; OpenVINO more.
        assert registry.cache.bytes > 0.5 * before
        assert registry.cache.bytes == metrics("accrue_model_memory_bytes")


@pytest.mark.parametrize("name", NAMES)
def test_other_ways_to_classify_are_swapped_too(
    settings: Settings, database: Database, store: BlobStore, name: str
) -> None:
    make(settings, database, store)
    with serving(settings, engine=name) as (client, registry):
        by_softmax = keep_busy(client, classify="softmax")
        within = keep_busy(client, task=1)
        version = registry.find("default", "signs", "live")
        assert version is not None
        predictor: Any = version.ready(None, "softmax")
        wait_for(lambda: predictor.engine.name == name)
        assert close(keep_busy(client, classify="softmax"), by_softmax)
        chosen(client)
        assert close(keep_busy(client, task=1), within)


def test_images_to_compare_on_leave_no_copies_in_the_cache_of_tensors(
    settings: Settings, database: Database, s3_url: str
) -> None:
    settings = settings.model_copy(update={"storage": s3_url})
    store = open_store(s3_url)
    make(settings, database, store, exemplars=[png(1), png(2)])
    with serving(settings, engine="torchscript") as (client, _):
        keep_busy(client)
        assert chosen(client)["checked_on"] == "exemplars"
    near = {path.name for path in settings.cache_dir.iterdir()}
    assert near
    assert near.isdisjoint(hashlib.sha256(image).hexdigest() for image in (png(1), png(2)))


def test_a_predictor_that_was_called_busy_twice_keeps_its_engine(
    settings: Settings, database: Database, store: BlobStore, given: Callable[..., None]
) -> None:
    make(settings, database, store)
    fake = Fake("torchscript", plain)
    given([fake], {"torchscript": 0.5})
    with serving(settings) as (client, registry):
        predict(client, png(0))
        version = registry.find("default", "signs", "live")
        assert version is not None
        predictor: Any = version.ready(None, "auto")
        again = predictor.on_busy
        keep_busy(client)
        first = chosen(client)
        again()
        # Engines are built in turn, so this one's is built after the repetition.
        keep_busy(client, classify="softmax")
        other: Any = version.ready(None, "softmax")
        wait_for(lambda: other.engine.name == "torchscript")
        assert engine_of(client) == first


def test_a_version_that_is_not_busy_stays_as_it_is(
    settings: Settings, database: Database, store: BlobStore, given: Callable[..., None]
) -> None:
    make(settings, database, store)
    fake = Fake("torchscript", plain)
    given([fake], {"torchscript": 0.5})
    with serving(settings) as (client, _):
        for seed in range(31):
            predict(client, png(seed))
        assert fake.compiled == 0
        predict(client, png(0))
        assert chosen(client)["name"] == "torchscript"


def test_the_fastest_is_taken_and_the_next_version_builds_it_alone(
    settings: Settings, database: Database, store: BlobStore, given: Callable[..., None]
) -> None:
    make(settings, database, store)
    fakes = [Fake("openvino", plain), Fake("torchscript", plain)]
    given(fakes, {"openvino": 0.6, "torchscript": 0.4})
    with serving(settings) as (client, registry):
        keep_busy(client)
        assert chosen(client) == {
            "name": "torchscript",
            "precision": "fp32",
            "relative_time": 0.4,
            "checked_on": "noise",
            "checked_images": 200,
            "refused": {"openvino": "torchscript is faster on this machine"},
        }
        learnt.publish(database, store, "signs")
        registry.refresh()
        keep_busy(client)
        wait_for(lambda: engine_of(client)["name"] == "torchscript")
        assert [fake.compiled for fake in fakes] == [1, 2]


@pytest.mark.parametrize(
    ("run", "time", "reason"),
    [
        (wrong, 0.5, "its scores differ by up to "),
        (broken, 0.5, "it cannot run this network (RuntimeError: no such operation)"),
        (plain, 0.97, "it takes 0.97 of PyTorch's time on this machine"),
    ],
)
def test_an_engine_is_refused_and_the_next_one_tried(
    settings: Settings,
    database: Database,
    store: BlobStore,
    given: Callable[..., None],
    run: Callable[[Trunk, Tensor], Sequence[Tensor]],
    time: float,
    reason: str,
) -> None:
    make(settings, database, store, exemplars=[png(1)])
    second = Fake("torchscript", plain)
    given(
        [Fake("openvino", run), second],
        {"openvino": time, "torchscript": 0.6} if run is plain else {"torchscript": 0.6},
    )
    with serving(settings) as (client, _):
        first = keep_busy(client)
        view = chosen(client)
        assert view["name"] == "torchscript"
        assert view["refused"]["openvino"].startswith(reason)
        assert keep_busy(client) == first
        metrics = scrape(client)
        assert metrics("accrue_engine_builds_total", engine="openvino", outcome="refused") == 1


def test_where_all_are_refused_pytorch_goes_on(
    settings: Settings, database: Database, store: BlobStore, given: Callable[..., None]
) -> None:
    make(settings, database, store)
    given([Fake("torchscript", broken)], {})
    with serving(settings) as (client, _):
        first = keep_busy(client)
        view = chosen(client)
        assert (view["name"], view["checked_on"], list(view["refused"])) == (
            "torch",
            None,
            ["torchscript"],
        )
        assert keep_busy(client) == first


def test_an_evicted_engine_frees_its_tensors_at_once(
    settings: Settings, database: Database, store: BlobStore, given: Callable[..., None]
) -> None:
    make(settings, database, store)
    given([Fake("torchscript", plain)], {"torchscript": 0.5})
    with serving(settings) as (client, registry):
        keep_busy(client)
        chosen(client)
        version = registry.find("default", "signs", "live")
        assert version is not None
        predictor: Any = version.predictor(None, "auto")
        runner = predictor.module.servable.network.backbone.runner
        assert predictor.bytes > runner.bytes
        weight = weakref.ref(next(runner.trunk.parameters()))
        gc.disable()
        try:
            registry.cache.discard(version.id)
            del version, predictor, runner
            wait_for(lambda: weight() is None, seconds=10)
            assert registry.cache.bytes == 0
        finally:
            gc.enable()


def test_a_version_that_goes_while_its_engine_is_built_is_let_go(
    settings: Settings, database: Database, store: BlobStore, given: Callable[..., None]
) -> None:
    make(settings, database, store)
    building, goes_on = threading.Event(), threading.Event()

    def slow(trunk: Trunk, images: Tensor) -> Sequence[Tensor]:
        building.set()
        assert goes_on.wait(30)
        return plain(trunk, images)

    given([Fake("torchscript", slow)], {"torchscript": 0.5})
    with serving(settings) as (client, registry):
        keep_busy(client)
        assert building.wait(30)
        version = registry.find("default", "signs", "live")
        assert version is not None
        registry.cache.discard(version.id)
        del version
        # What evicts it does not wait for the engine.
        wait_for(lambda: registry.cache.bytes == 0)
        goes_on.set()
        assert predict(client, png(0))["label"] in learnt.LABELS
        assert engine_of(client)["name"] == "torch"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_hundred_hot_swaps_under_load_fail_and_mislabel_nothing(
    settings: Settings,
    database: Database,
    store: BlobStore,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(settings, database, store, exemplars=[png(1), png(2)])
    with serving(settings, engine="torch") as (client, _):
        learnt.publish(database, store, "signs", 0, alias=None, exemplars=[png(3)])
        versions = ("1", "2")
        expected = {
            number: [predict(client, png(seed), version=number) for seed in range(8)]
            for number in versions
        }
    swaps = []
    swap = accelerator.ServablePredictor.swap

    def counted(predictor: Any, module: Any, engine: Any) -> None:
        swaps.append(engine.name)
        swap(predictor, module, engine)

    monkeypatch.setattr(accelerator.ServablePredictor, "swap", counted)
    # Room for one version: each promotion loads anew, and each load builds an engine.
    with (
        serving(settings, engine=name, model_memory=1, inference_threads=2) as (client, _),
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        stop = threading.Event()

        def ask(seed: int) -> int:
            count = 0
            while not stop.is_set():
                answer = client.post(
                    "/v1/classifiers/signs/predict", content=png(seed), headers=PNG
                )
                assert answer.status_code == 200, answer.text
                body = answer.json()
                own = expected[str(body["version"])][seed]
                assert close([body["results"][0]], [own])
                count += 1
            return count

        asking = [pool.submit(ask, seed) for seed in range(4)]
        try:
            for number in range(100):
                answer = client.put(
                    "/v1/classifiers/signs/aliases/live",
                    json={"version": int(versions[number % 2 - 1])},
                )
                answer.raise_for_status()
                done = len(swaps)
                wait_for(lambda done=done: len(swaps) > done, seconds=60)  # type: ignore[misc]
        finally:
            stop.set()
        assert all(each.result() > 0 for each in asking)
        assert set(swaps) == {name}
        assert len(swaps) >= 100
