"""Two API processes behind one port count, limit and serve as one.

Here they are two applications of one process, which know each other by their sockets only.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from app.db.engine import Database
from app.main import create_app
from app.services.classifiers import classifiers
from app.services.classifiers.spec import ClassifierSpec
from app.settings import Settings
from app.siblings import Siblings
from app.storage import BlobStore
from tests.app import learnt
from tests.app.api.asgi import Got, Sent, ask, header, running
from tests.app.keyed import new_key
from tests.app.learnt import png
from tests.databases import ONE_KIND_AT_FIRST

HOST = ("Host", "127.0.0.1")
Series = tuple[str, tuple[tuple[str, str], ...]]


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's folder: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def settings(settings: Settings, database: Database, store: BlobStore) -> Settings:
    spec = ClassifierSpec.model_validate({"name": "signs", **learnt.BODY})
    classifiers.create(database, "default", spec, on_created=lambda *_: None)
    learnt.publish(database, store, "signs", 0)
    return settings.model_copy(update={"api_processes": 2})


def two(settings: Settings, folder: Path) -> tuple[FastAPI, FastAPI]:
    first, second = (create_app(settings, Siblings(folder, place, 2)) for place in range(2))
    return first, second


async def predict(app: FastAPI, *headers: tuple[str, str]) -> Got:
    return await ask(app, Sent("POST", "/predict", (HOST, *headers), (png(),)))


async def scrape(app: FastAPI, *headers: tuple[str, str]) -> dict[Series, float]:
    text = (await ask(app, Sent("GET", "/metrics", (HOST, *headers)))).body.decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def predictions(series: dict[Series, float]) -> dict[str, float]:
    """How many predictions each process has answered."""
    return {
        dict(labels)["process"]: value
        for (name, labels), value in series.items()
        if name == "accrue_http_requests_total" and dict(labels)["route"] == "/predict"
    }


@ONE_KIND_AT_FIRST
def test_either_shows_the_metrics_of_both(settings: Settings, folder: Path) -> None:
    async def scenario() -> None:
        first, second = two(settings, folder)
        async with running(first, second):
            for app, times in ((first, 2), (second, 3)):
                for _ in range(times):
                    assert (await predict(app)).status == 200
            for app in (first, second):
                series = await scrape(app)
                assert predictions(series) == {"0": 2, "1": 3}
                assert series["accrue_api_process_up", (("process", "0"),)] == 1
                assert series["accrue_api_process_up", (("process", "1"),)] == 1
                # What is read from the database is there once.
                assert series["accrue_database_up", ()] == 1
            # Nothing is lost and nothing is changed on the way.
            alone = generate_latest(second.state.metrics.registry).decode()
            joined = await scrape(first)
            for family in text_string_to_metric_families(alone):
                for sample in family.samples:
                    if sample.name.startswith("accrue_predict_"):
                        key = tuple(sorted({**sample.labels, "process": "1"}.items()))
                        assert joined[sample.name, key] == sample.value

    asyncio.run(scenario())


@ONE_KIND_AT_FIRST
def test_one_that_does_not_answer_is_shown_as_down(settings: Settings, folder: Path) -> None:
    async def scenario() -> None:
        first, second = two(settings, folder)
        async with running(first):
            async with running(second):
                await predict(second)
            series = await scrape(first)
            assert series["accrue_api_process_up", (("process", "1"),)] == 0
            assert {dict(labels).get("process") for _, labels in series} == {None, "0", "1"}
            assert predictions(series).get("1") is None
            # What the others should hear is not lost for this one.
            await asyncio.to_thread(first.state.together.swap)
            # Another one takes its place, also where a socket is left behind.
            (folder / "1.sock").touch()
            again = create_app(settings, Siblings(folder, 1, 2))
            async with running(again):
                assert (await scrape(first))["accrue_api_process_up", (("process", "1"),)] == 1

    asyncio.run(scenario())


@ONE_KIND_AT_FIRST
def test_one_that_hangs_does_not_hang_the_others(settings: Settings, folder: Path) -> None:
    async def scenario() -> None:
        first, _ = two(settings, folder)

        async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await reader.read()
            await asyncio.Event().wait()

        server = await asyncio.start_unix_server(hang, folder / "1.sock")
        async with running(first):
            found = await first.state.together._siblings.ask("metrics", seconds=0.1)
            assert found == {1: None}
        server.close()

    asyncio.run(scenario())


@ONE_KIND_AT_FIRST
def test_a_key_has_one_rate_limit_in_both(
    settings: Settings, folder: Path, database: Database
) -> None:
    token = new_key(database, "predict", "metrics", images_per_second=4)
    own = ("Authorization", f"Bearer {token}")

    async def scenario() -> None:
        first, second = two(settings.model_copy(update={"keys": "required"}), folder)
        async with running(first, second):
            await predict(second, own)  # the key is in its memory
            form = b"".join(
                b'--X\r\nContent-Disposition: form-data; name="files"\r\n\r\n' + png() + b"\r\n"
                for _ in range(400)
            )
            kind = ("Content-Type", "multipart/form-data; boundary=X")
            sent = Sent("POST", "/predict", (HOST, own, kind), (form + b"--X--\r\n",))
            assert (await ask(first, sent)).status == 200
            deadline = asyncio.get_running_loop().time() + 30
            while (got := await predict(second, own)).status == 200:
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.02)
            assert got.status == 429
            # 400 images at four a second.
            assert 60 < int(header(got, "Retry-After")[0]) <= 101

    asyncio.run(scenario())


@ONE_KIND_AT_FIRST
def test_a_promotion_is_served_by_both_when_it_is_answered(
    settings: Settings, folder: Path, database: Database, store: BlobStore
) -> None:
    async def promote(app: FastAPI, number: int) -> None:
        path = "/v1/classifiers/signs/aliases/live"
        body = orjson.dumps({"version": number})
        kind = ("Content-Type", "application/json")
        assert (await ask(app, Sent("PUT", path, (HOST, kind), (body,)))).status == 200

    async def scenario() -> None:
        first, second = two(settings, folder)
        async with running(first, second):
            for app in (first, second):
                assert orjson.loads((await predict(app)).body)["version"] == 1
            learnt.publish(database, store, "signs", 1, alias=None)
            for number in (2, 1, 2, 1):
                await promote(first, number)
                for app in (first, second):
                    assert orjson.loads((await predict(app)).body)["version"] == number

    asyncio.run(scenario())


def test_a_failing_answer_is_logged_and_none(folder: Path) -> None:
    async def fail(_content: bytes) -> bytes:
        raise RuntimeError("no")

    async def scenario() -> tuple[Any, Any]:
        first, second = Siblings(folder, 0, 2), Siblings(folder, 1, 2)
        await first.start({})
        await second.start({"question": fail})
        with capture_logs() as logs:
            answers = await first.ask("question")
            unknown = await first.ask("nobody knows")
        first.close()
        second.close()
        assert [line["event"] for line in logs] == ["sibling_not_answered"] * 2
        return answers, unknown

    assert asyncio.run(scenario()) == ({1: None}, {1: None})


def test_a_process_by_itself_asks_nobody() -> None:
    async def scenario() -> dict[int, bytes | None]:
        alone = Siblings()
        await alone.start({})
        alone.close()
        return await alone.ask("metrics")

    assert asyncio.run(scenario()) == {}
