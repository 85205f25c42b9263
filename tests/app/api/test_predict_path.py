"""Predictions that do not go through the framework are answered as those that do."""

import asyncio
import base64
import gzip
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from app.api.predict_path import PredictPath
from app.db.engine import Database
from app.db.repositories import aliases as alias_rows
from app.main import create_app
from app.services.access import keys
from app.services.classifiers import classifiers
from app.services.classifiers.spec import ClassifierSpec
from app.settings import Settings
from app.storage import BlobStore
from tests.app import learnt
from tests.app.api.asgi import Got, Sent, ask, running, without
from tests.app.keyed import new_key
from tests.app.learnt import png
from tests.databases import ONE_KIND_AT_FIRST

pytestmark = ONE_KIND_AT_FIRST

HOST = ("Host", "127.0.0.1:8000")
ID = ("X-Request-ID", "the-clients-own")
NAMED = "/v1/classifiers/signs/predict"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"


def typed(kind: str | None, *others: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (HOST, ID, *((("Content-Type", kind),) if kind else ()), *others)


def post(target: str, body: bytes = b"", kind: str | None = "image/png", **changes: Any) -> Sent:
    length = ("Content-Length", str(len(body)))
    return replace(Sent("POST", target, typed(kind, length), (body,)), **changes)


def form(*files: bytes, name: str = "files", end: bytes = b"--XX--\r\n") -> bytes:
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'
    return b"".join(head.encode() + file + b"\r\n" for file in files) + end


def encoded(*files: bytes) -> bytes:
    return orjson.dumps({"images": [{"b64": base64.b64encode(file).decode()} for file in files]})


FORM, JSON = "multipart/form-data; boundary=XX", "application/json"
IMAGE = png()
LARGE = 10**6 * 4 + 1

QUERIES = [
    "",
    "version=1",
    "version=live",
    "version=best",
    "version=none",
    "version=99",
    "version=",
    f"version={'x' * 65}",
    "top_k=1",
    "top_k=0",
    "top_k=10001",
    "top_k=one",
    "top_k=",
    "top_k=1&top_k=2",
    "top_k=2&top_k=none",
    "task=0",
    "task=1",
    "task=7",
    "task=-1",
    "task=1000000000",
    "task=",
    "task=0.5",
    "classify=softmax",
    "classify=nearest_mean",
    "classify=discriminant",
    "classify=auto",
    "classify=best",
    "classify=nearest_mean&task=1",
    "false_alarms=0.2",
    "false_alarms=0",
    "false_alarms=1",
    "false_alarms=nan",
    "false_alarms=inf",
    "false_alarms=1e-3",
    "classifier=signs",
    "classifier=empty",
    "classifier=nobody",
    "classifier=",
    f"classifier={'y' * 101}",
    "classifier=%73igns",
    "classifier=s%2Figns",
    "version=l%69ve",
    "version=%00",
    "version=%FF",
    "version=+1",
    "unknown=1",
    "top_k=1&unknown=1",
    "Top_k=1",
    "&",
    "&&top_k=1",
    "top_k",
    "top_k=1;task=0",
    f"top_k=1&{'&' * 600}",
]

BODIES = {
    "png": (IMAGE, "image/png"),
    "png without a type": (IMAGE, None),
    "png called a form": (IMAGE, "application/x-www-form-urlencoded"),
    "jpeg type": (IMAGE, "image/jpeg"),
    "type with parameter": (IMAGE, 'IMAGE/PNG; name="a"'),
    "unreadable": (b"\x89PNG\r\n\x1a\nand no more", "image/png"),
    "svg": (SVG, "image/svg+xml"),
    "svg as png": (SVG, "image/png"),
    "nothing": (b"", "image/png"),
    "nothing at all": (b"", None),
    "text": (b"hello", "text/plain"),
    "form of one": (form(IMAGE), FORM),
    "form of three": (form(IMAGE, png(1), SVG), FORM),
    "form of unreadable": (form(SVG), FORM),
    "form of nothing": (form(), FORM),
    "form with another field": (form(IMAGE, name="file"), FORM),
    "form without boundary": (form(IMAGE), "multipart/form-data"),
    "form with another boundary": (form(IMAGE), "multipart/form-data; boundary=YY"),
    "form without end": (form(IMAGE, end=b""), FORM),
    "form of too many": (form(*[IMAGE] * 9), FORM),
    "json of one": (encoded(IMAGE), JSON),
    "json of three": (encoded(IMAGE, png(1), SVG), JSON),
    "json without a type": (encoded(IMAGE), None),
    "json with a type of text": (encoded(IMAGE), "text/json; charset=utf-8"),
    "json of nothing": (encoded(), JSON),
    "json of too many": (encoded(*[IMAGE] * 9), JSON),
    "json with another field": (b'{"images": [{"b64": "aGk=", "label": "x"}], "top_k": 1}', JSON),
    "json of wrong types": (b'{"images": [{"b64": 3}, {"b64": null}, {}, 5]}', JSON),
    "json of a list": (b"[]", JSON),
    "json cut off": (encoded(IMAGE)[:-9], JSON),
    "json of no base64": (b'{"images": [{"b64": "!!!"}]}', JSON),
    "json in UTF-16": (encoded(IMAGE).decode().encode("utf-16"), JSON),
    "json with a mark": (b"\xef\xbb\xbf" + encoded(IMAGE), JSON),
    "json with bad UTF-8": (b'{"images": [{"b64": "\xff"}]}', JSON),
    "gzip of json": (gzip.compress(encoded(IMAGE), mtime=0), JSON),
    "gzip of an image": (gzip.compress(IMAGE, mtime=0), "image/png"),
    "zip": (b"PK\x03\x04" + b"\0" * 40, "application/zip"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + b"\0" * 40, "application/x-7z-compressed"),
}

PATHS = [
    "/predict",
    "/predict/",
    "//predict",
    "/Predict",
    "/predict%0A",
    "/predict%2F",
    "/%70redict",
    NAMED,
    NAMED + "/",
    NAMED + "%0A",
    "/v1/classifiers/%73igns/predict",
    "/v1/classifiers/si%2Fgns/predict",
    "/v1/classifiers/signs%0A/predict",
    "/v1/classifiers/%E2%98%83/predict",
    "/v1/classifiers/%00/predict",
    "/v1/classifiers//predict",
    "/v1/classifiers/empty/predict",
    "/v1/classifiers/nobody/predict",
    f"/v1/classifiers/{'n' * 300}/predict",
]

OTHERS = [
    *(
        Sent(method, path, (HOST, ID))
        for path in ("/predict", NAMED)
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "NONSENSE")
    ),
    # In pieces, without a length, over the limit by what it declares or by what it sends.
    Sent("POST", "/predict", typed("image/png"), (IMAGE[:7], b"", IMAGE[7:])),
    Sent("POST", "/predict", typed("image/png", ("Content-Length", str(LARGE)))),
    Sent("POST", "/predict", typed("image/png", ("Content-Length", "x")), (IMAGE,)),
    Sent("POST", NAMED, typed("image/png"), (IMAGE, b"\0" * LARGE)),
    # Slow, and gone.
    Sent("POST", "/predict", typed("image/png"), (IMAGE[:7], None)),
    Sent("POST", NAMED, typed("image/png"), (None,)),
    Sent("POST", "/predict", typed("image/png"), (IMAGE[:7],), leaves=True),
    # Ids, hosts and pages.
    Sent("POST", "/predict", (HOST, ("X-Request-ID", "not harmless!"), ("Content-Type", "a/b"))),
    Sent("POST", "/predict", (("Host", "rebound.example.com"), ID), (IMAGE,)),
    Sent("POST", "/predict", (("Host", "name"), ID), (IMAGE,)),
    Sent("POST", "/predict", (ID,), (IMAGE,)),
    Sent("POST", "/predict", typed(None, ("Origin", "http://evil.example.com")), (IMAGE,)),
    Sent("POST", "/predict", typed(None, ("Origin", "http://127.0.0.1:8000")), (IMAGE,)),
    Sent("POST", "/predict", typed("image/png", ("Accept", "text/html")), (IMAGE,)),
    Sent("POST", "/predict", typed("image/png", ("Idempotency-Key", "again")), (IMAGE,)),
    Sent("POST", "/predict", typed("image/png", ("Content-Type", "text/plain")), (IMAGE,)),
    Sent("POST", "/predict", typed("image/png"), (IMAGE,), version="1.0"),
]


@pytest.fixture
def settings(settings: Settings, database: Database, store: BlobStore) -> Settings:
    """Two versions of one classifier, and another one without a version."""
    for name in ("signs", "empty"):
        spec = ClassifierSpec.model_validate({"name": name, **learnt.BODY})
        classifiers.create(database, "default", spec, on_created=lambda *_: None)
    first = learnt.publish(database, store, "signs", 0, alias="best")
    learnt.publish(database, store, "signs", 1, parent=first.id, held_out=3)
    limits = {"max_image_megabytes": 1, "body_seconds": 0.3, "inference_queue": 8}
    return settings.model_copy(update=limits)


_MADE_ID = re.compile(rb"req_[0-9a-z]{24}[0-9a-f]+")


class Pair:
    """Two services on the same data, of which one has no path of its own for predictions."""

    def __init__(self, settings: Settings) -> None:
        self.direct = create_app(settings)
        self.ordinary = without(create_app(settings), PredictPath)

    async def compare(self, sent: Sent, *warming: tuple[str, str]) -> Got:
        """Send a request to both and compare all that comes back; return the direct answer.

        `warming` are headers of a request before it that shows the query to the direct one.
        """
        if sent.method == "POST":
            await ask(self.direct, Sent("POST", sent.target, (HOST, *warming), (b"",)))
        direct, logged, counted = await self._ask(self.direct, sent)
        ordinary, expected_log, expected_count = await self._ask(self.ordinary, sent)
        assert "predict" not in ordinary.scope
        assert direct.status == ordinary.status, sent
        assert _MADE_ID.sub(b"#", direct.body) == _MADE_ID.sub(b"#", ordinary.body), sent
        assert _lasting(direct) == _lasting(ordinary), sent
        assert logged == expected_log, sent
        assert counted == expected_count, sent
        return direct

    async def _ask(self, app: FastAPI, sent: Sent) -> tuple[Got, Any, Any]:
        before = _counts(app)
        with capture_logs() as logs:
            got = await ask(app, sent)
        after = _counts(app)
        grown = {key: n - before.get(key, 0) for key, n in after.items()}
        of_request = [line for line in logs if "request_id" in line]
        return got, of_request, {key: n for key, n in grown.items() if n}


def _lasting(got: Got) -> list[tuple[bytes, bytes]]:
    """Return the headers in their order, without what differs from one answer to the next."""
    changing = {
        b"server-timing": re.compile(rb"\d+\.\d\d"),
        b"retry-after": re.compile(rb"\d+"),
        b"x-request-id": _MADE_ID,
    }
    return [
        (name, changing[name.lower()].sub(b"#", value) if name.lower() in changing else value)
        for name, value in got.headers
    ]


def _counts(app: FastAPI) -> dict[Any, float]:
    names = ("accrue_http_requests_total", "accrue_http_problems_total")
    names += ("accrue_http_request_seconds_count",)
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in app.state.metrics.registry.collect()
        for sample in family.samples
        if sample.name in names and sample.value
    }


def tell_apart(got: Got) -> bool:
    return "predict" in got.scope


def test_every_body(settings: Settings) -> None:
    async def scenario() -> None:
        pair = Pair(settings)
        async with running(pair.direct, pair.ordinary):
            for body, kind in BODIES.values():
                for target in ("/predict?classifier=signs", NAMED, NAMED + "?top_k=2&task=0"):
                    assert tell_apart(await pair.compare(post(target, body, kind)))

    asyncio.run(scenario())


def test_every_query_and_path(settings: Settings) -> None:
    async def scenario() -> tuple[set[int | None], set[int | None]]:
        pair = Pair(settings)
        ways: dict[bool, set[int | None]] = {True: set(), False: set()}
        async with running(pair.direct, pair.ordinary):
            for sent in _targets():
                got = await pair.compare(post(sent, IMAGE))
                ways[tell_apart(got)].add(got.status)
        return ways[True], ways[False]

    direct, ordinary = asyncio.run(scenario())
    assert direct == {200, 404, 409, 422}
    assert ordinary >= {404, 422}


def _targets() -> Iterator[str]:
    for query in QUERIES:
        yield from (f"/predict?{query}", f"{NAMED}?{query}", f"/predict?classifier=signs&{query}")
    for path in PATHS:
        yield from (path, f"{path}?top_k=1", f"{path}?top_k=0")
    draw = random.Random(7)
    for _ in range(150):
        query = "&".join(draw.sample(QUERIES, draw.randint(1, 4)))
        yield f"{draw.choice(PATHS)}?{query}"


def test_other_requests(settings: Settings) -> None:
    async def scenario() -> None:
        pair = Pair(settings)
        async with running(pair.direct, pair.ordinary):
            for sent in OTHERS:
                await pair.compare(sent)

    asyncio.run(scenario())


def test_keys(settings: Settings, database: Database) -> None:
    admin = new_key(database, "admin")
    limited = new_key(database, "predict", images_per_second=0.001)
    revoked = new_key(database, "predict")
    keys.revoke(database, f"key_{revoked.split('_')[1]}")
    given = {
        "missing": None,
        "good": f"Bearer {new_key(database, 'predict')}",
        "admin": f"bearer   {admin}",
        "another scope": f"Bearer {new_key(database, 'train', 'metrics')}",
        "another workspace": f"Bearer {new_key(database, 'predict', workspace='other')}",
        "limited": f"Bearer {limited}",
        "revoked": f"Bearer {revoked}",
        "wrong": f"Bearer {admin[:-1]}{'a' if admin[-1] != 'a' else 'b'}",
        "unknown": f"Bearer acr_{'0' * 24}_{'a' * 43}",
        "not a key": "Bearer abc",
        "another scheme": f"Basic {admin}",
        "empty": "",
    }

    async def scenario() -> dict[str, list[int | None]]:
        pair = Pair(settings.model_copy(update={"keys": "required"}))
        warming = ("Authorization", f"Bearer {admin}")
        statuses: dict[str, list[int | None]] = {}
        async with running(pair.direct, pair.ordinary):
            for name, value in given.items():
                extra = () if value is None else (("Authorization", value),)
                for body, kind in ((form(IMAGE, IMAGE, SVG), FORM), (IMAGE, "image/png")):
                    sent = Sent("POST", NAMED, typed(kind, *extra), (body,))
                    got = await pair.compare(sent, warming)
                    assert tell_apart(got)
                    statuses.setdefault(name, []).append(got.status)
        return statuses

    assert asyncio.run(scenario()) == {
        "missing": [401, 401],
        "good": [200, 200],
        "admin": [200, 200],
        "another scope": [403, 403],
        "another workspace": [404, 404],
        "limited": [200, 429],
        "revoked": [401, 401],
        "wrong": [401, 401],
        "unknown": [401, 401],
        "not a key": [401, 401],
        "another scheme": [401, 401],
        "empty": [401, 401],
    }


def test_a_moved_alias_and_a_deleted_classifier_are_followed(
    settings: Settings, database: Database, store: BlobStore
) -> None:
    async def scenario() -> list[int | None]:
        pair = Pair(settings)
        statuses = []
        async with running(pair.direct, pair.ordinary):
            await pair.compare(post(NAMED, IMAGE))
            third = learnt.publish(database, store, "signs", 1, alias=None)
            with database.transaction() as session:
                owner = classifiers.require(session, "default", "signs")
                alias_rows.point(session, owner.id, "live", third.id, now=database.now(session))
            await _refresh(pair)
            got = await pair.compare(post(NAMED, IMAGE))
            assert orjson.loads(got.body)["version"] == 3
            statuses.append(got.status)
            classifiers.delete(database, "default", "signs", confirm="signs")
            await _refresh(pair)
            statuses.append((await pair.compare(post(NAMED, IMAGE))).status)
        return statuses

    assert asyncio.run(scenario()) == [200, 404]


async def _refresh(pair: Pair) -> None:
    for app in (pair.direct, pair.ordinary):
        await asyncio.to_thread(app.state.registry.refresh)


def test_an_unforeseen_error_is_a_500_that_hides_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    async def scenario() -> Got:
        pair = Pair(settings)
        async with running(pair.direct, pair.ordinary):
            await pair.compare(post(NAMED, IMAGE))
            for app in (pair.direct, pair.ordinary):
                monkeypatch.setattr(app.state.registry, "find", fail)
            sent = post(NAMED, IMAGE)
            direct, ordinary = await ask(pair.direct, sent), await ask(pair.ordinary, sent)
            assert (direct.status, direct.body) == (ordinary.status, ordinary.body)
            assert tell_apart(direct)
            return direct

    got = asyncio.run(scenario())
    assert got.status == 500
    assert b"secret" not in got.body
