"""Versions come into memory when they are asked for, stay within the budget, and follow aliases."""

import concurrent.futures
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

import app.api.predicting
import app.inference.registry
from app.db.engine import Database
from app.inference import loading
from app.inference.registry import Registry
from app.main import create_app
from app.services.classifiers import aliases
from app.settings import Settings
from app.storage import BlobStore
from tests.app import learnt
from tests.app.api.test_metrics import scrape
from tests.app.learnt import Published, png
from tests.databases import ONE_KIND_AT_FIRST
from tests.e2e.harness import wait_for

PNG = {"content-type": "image/png"}
Publish = Callable[..., Published]

pytestmark = ONE_KIND_AT_FIRST


@contextmanager
def serving(settings: Settings, **changed: Any) -> Iterator[tuple[TestClient, Registry]]:
    service = create_app(settings.model_copy(update=changed))
    with TestClient(service, raise_server_exceptions=False) as client:
        yield client, service.state.registry


def predict(client: TestClient, name: str, **query: Any) -> Any:
    return client.post(f"/v1/classifiers/{name}/predict", content=png(), headers=PNG, params=query)


@pytest.fixture
def classifiers(settings: Settings, database: Database, store: BlobStore) -> list[str]:
    """Six classifiers with a live version each, in no process's memory."""
    names = [f"c{number}" for number in range(6)]
    with serving(settings) as (client, _):
        for name in names:
            client.post("/v1/classifiers", json={"name": name, **learnt.BODY}).raise_for_status()
            learnt.publish(database, store, name)
    return names


def version_bytes(settings: Settings, name: str) -> int:
    with serving(settings) as (client, registry):
        predict(client, name).raise_for_status()
        return registry.cache.bytes


def test_nothing_is_loaded_before_it_is_asked_for(
    settings: Settings, classifiers: list[str]
) -> None:
    with serving(settings) as (client, registry):
        registry.refresh()
        assert client.get("/health/ready").status_code == 200
        assert (len(registry.cache), registry.cache.bytes) == (0, 0)
        assert predict(client, classifiers[0]).status_code == 200
        assert len(registry.cache) == 1


def test_all_are_served_within_the_budget(settings: Settings, classifiers: list[str]) -> None:
    size = version_bytes(settings, classifiers[0])
    # The tensors of the tests' network, and its modules.
    assert 380_000 < size < 500_000
    # A load makes room for a little more than the tensors.
    budget = 3 * size + loading._MODULES_BYTES
    with serving(settings, model_memory=budget) as (client, registry):
        first = {name: predict(client, name).json()["results"] for name in classifiers}
        for _ in range(2):
            for name in classifiers:
                assert predict(client, name).json()["results"] == first[name]
                assert registry.cache.bytes <= budget
        assert len(registry.cache) == 3
        metrics = scrape(client)
    assert metrics("accrue_model_memory_limit_bytes") == budget
    assert metrics("accrue_loaded_versions") == 3
    assert 2.9 * size < (metrics("accrue_model_memory_bytes") or 0) <= budget
    assert metrics("accrue_version_loads_total", outcome="loaded") == 18
    assert metrics("accrue_version_evictions_total") == 15
    assert metrics("accrue_version_load_seconds_count") == 18


def test_a_version_larger_than_the_budget_is_served(
    settings: Settings, classifiers: list[str]
) -> None:
    with serving(settings, model_memory=1000) as (client, registry):
        for name in classifiers:
            assert predict(client, name).status_code == 200
            assert len(registry.cache) == 1


def test_requests_at_once_load_a_version_once(
    settings: Settings, classifiers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    load = loading.LoadedVersion

    def counted(stored: Any, *rest: Any, **more: Any) -> Any:
        loads.append(stored.id)
        return load(stored, *rest, **more)

    monkeypatch.setattr(loading, "LoadedVersion", counted)
    with serving(settings) as (client, _), concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: predict(client, classifiers[0]), range(32)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(loads) == 1


def test_a_slow_load_keeps_no_other_classifier_waiting(
    settings: Settings, classifiers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, other = classifiers[:2]
    go_on = concurrent.futures.Future[None]()
    load = loading.LoadedVersion
    loads: list[str] = []

    def held_up(stored: Any, *rest: Any, **more: Any) -> Any:
        loads.append(stored.id)
        if len(loads) == 1:
            go_on.result(30)
        return load(stored, *rest, **more)

    monkeypatch.setattr(loading, "LoadedVersion", held_up)
    monkeypatch.setattr(app.api.predicting, "_LOAD_SECONDS", 0.3)
    with serving(settings) as (client, _), concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(predict, client, slow)
        wait_for(lambda: loads)
        assert predict(client, other).status_code == 200
        answer = waiting.result()
        assert (answer.status_code, answer.json()["code"]) == (503, "version-loading")
        assert answer.headers["retry-after"] == "5"
        go_on.set_result(None)
        # The load went on.
        wait_for(lambda: predict(client, slow).status_code == 200)
    assert len(loads) == 2


def test_refreshes_at_once_neither_lose_a_load_nor_do_it_twice(
    settings: Settings,
    classifiers: list[str],
    store: BlobStore,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does one that waits for a storage that hangs keep others from following what changes."""
    name = classifiers[0]
    for _ in range(2):
        learnt.publish(database, store, name, alias=None)
    go_on = concurrent.futures.Future[None]()
    load = loading.LoadedVersion
    loads: list[int] = []

    def held_up(stored: Any, *rest: Any, **more: Any) -> Any:
        loads.append(stored.number)
        if stored.number == 3:
            go_on.result(30)
        return load(stored, *rest, **more)

    monkeypatch.setattr(loading, "LoadedVersion", held_up)
    monkeypatch.setattr(app.inference.registry, "REFRESH_SECONDS", 30)
    registry = Registry(database, store, store, settings)
    registry.start()

    def point(alias: str, number: int) -> None:
        aliases.move(database, "default", name, alias, aliases.AliasMove(version=number))

    def served(alias: str) -> int | None:
        found = registry.find("default", name, alias)
        return None if found is None else found.number

    point("canary", 1)
    for reference in ("live", "canary", "2"):
        registry.resolve("default", name, reference).version.result(30)
    registry.refresh()
    point("live", 3)
    with ExitStack() as at_the_end:
        at_the_end.callback(registry.stop)
        pool = at_the_end.enter_context(concurrent.futures.ThreadPoolExecutor(4))
        refreshes = [pool.submit(registry.refresh) for _ in range(2)]
        wait_for(lambda: 3 in loads)
        point("canary", 2)
        refreshes.append(pool.submit(registry.refresh))
        try:
            wait_for(lambda: served("canary") == 2, 10)
            pool.submit(registry.refresh, classifiers[1]).result(10)  # another one does not wait
            assert served("live") == 1
        finally:
            go_on.set_result(None)
        for refresh in refreshes:
            refresh.result(30)
    assert (served("live"), served("canary")) == (3, 2)
    assert loads == [1, 2, 3]


def test_a_failed_load_is_not_repeated_at_once(
    settings: Settings, classifiers: list[str], store: BlobStore, database: Database
) -> None:
    version = learnt.publish(database, store, classifiers[0], 1)
    path = store.path(version.parts["head.1"])
    assert path is not None
    content = path.read_bytes()
    path.unlink()
    with serving(settings) as (client, registry):
        before = failed_loads(client)
        answers = [predict(client, classifiers[0]) for _ in range(5)]
        assert {answer.json()["code"] for answer in answers} == {"version-unreadable"}
        assert answers[-1].headers["retry-after"] == "1"
        assert failed_loads(client) - before == 1
        path.write_bytes(content)
        wait_for(lambda: predict(client, classifiers[0]).status_code == 200)
        assert len(registry.cache) == 1


def failed_loads(client: TestClient) -> float:
    return scrape(client)("accrue_version_loads_total", outcome="failed") or 0


def test_only_what_is_in_memory_follows_its_alias(
    settings: Settings, classifiers: list[str], database: Database, store: BlobStore
) -> None:
    used, unused = classifiers[:2]
    with serving(settings) as (client, registry):
        assert predict(client, used).json()["version"] == 1
        for name in (used, unused):
            learnt.publish(database, store, name, 1)  # as a worker does: another process
        wait_for(lambda: (v := registry.find("default", used, "live")) and v.number == 2)
        assert len(registry.cache) == 1  # the one before has gone
        assert predict(client, unused).json()["version"] == 2


def test_pinned_ones_are_loaded_before_they_are_asked_for(
    settings: Settings, classifiers: list[str], database: Database, store: BlobStore
) -> None:
    name = classifiers[3]
    with serving(settings) as (client, registry):
        patched = client.patch(f"/v1/classifiers/{name}", json={"pinned": True})
        assert patched.json()["pinned"] is True
        assert client.get(f"/v1/classifiers/{classifiers[0]}").json()["pinned"] is False
        wait_for(lambda: registry.find("default", name, "live"))
    with serving(settings, model_memory=1000) as (_, registry):
        wait_for(lambda: registry.find("default", name, "live"))
    size = version_bytes(settings, classifiers[0])
    with serving(settings, model_memory=size * 2) as (client, registry):
        wait_for(lambda: registry.find("default", name, "live"))
        for other in classifiers[:3] * 2:
            predict(client, other).raise_for_status()
            assert registry.find("default", name, "live") is not None
        learnt.publish(database, store, name, 1)
        wait_for(lambda: (v := registry.find("default", name, "live")) and v.number == 2)


def test_what_another_process_deletes_is_no_longer_served(
    settings: Settings, classifiers: list[str], database: Database, store: BlobStore
) -> None:
    name, other = classifiers[:2]
    learnt.publish(database, store, other, 1)
    with serving(settings) as (client, registry), serving(settings) as (elsewhere, _):
        predict(client, name).raise_for_status()
        predict(client, other, version="1").raise_for_status()
        elsewhere.delete(f"/v1/classifiers/{name}?confirm={name}").raise_for_status()
        elsewhere.delete(f"/v1/classifiers/{other}/versions/1").raise_for_status()
        wait_for(lambda: len(registry.cache) == 0)
        assert predict(client, name).json()["code"] == "classifier-not-found"
        assert predict(client, other, version="1").json()["code"] == "version-not-found"
        # A new one under the same name is another one.
        elsewhere.post("/v1/classifiers", json={"name": name, **learnt.BODY}).raise_for_status()
        assert predict(client, name).json()["code"] == "no-version-yet"


def test_other_ways_to_classify_count_too(settings: Settings, classifiers: list[str]) -> None:
    with serving(settings) as (client, registry):
        predict(client, classifiers[0]).raise_for_status()
        before = registry.cache.bytes
        predict(client, classifiers[0], classify="softmax").raise_for_status()
        assert registry.cache.bytes > 1.8 * before


def test_an_evicted_version_frees_its_tensors_at_once(
    settings: Settings, classifiers: list[str]
) -> None:
    with serving(settings) as (client, registry):
        predict(client, classifiers[0]).raise_for_status()
        version = registry.find("default", classifiers[0], "live")
        assert version is not None
        predictor = version.predictor(None, "auto")
        tensor = weakref.ref(next(predictor.module.servable.parameters()))  # type: ignore[union-attr]
        gc.disable()
        try:
            registry.cache.discard(version.id)
            # The request that holds it is still answered.
            assert predictor.run([png()]).outcomes
            del version, predictor
            wait_for(lambda: tensor() is None, seconds=5)
        finally:
            gc.enable()
