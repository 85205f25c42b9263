"""Answers in gzip: which are, which are not, and that they say the same."""

import base64
import gzip
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import Response, StreamingResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel, model_serializer

from app.api.compression import Compression
from app.api.rendering import in_thread
from tests.app.learnt import png
from tests.databases import ONE_KIND_AT_FIRST

PLAIN = {"Accept-Encoding": "identity"}
GZIP = {"Accept-Encoding": "br, gzip;q=0.8"}
LONG = b"a" * 5000


@ONE_KIND_AT_FIRST
def test_large_answers_are_compressed_where_asked_for(api: TestClient) -> None:
    for number in range(20):
        api.post("/v1/classifiers", json={"name": f"c{number}"}).raise_for_status()
    plain = api.get("/v1/classifiers", headers=PLAIN)
    small = api.get("/v1/classifiers", headers=GZIP)
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert small.json() == plain.json()
    assert int(small.headers["content-length"]) * 5 < int(plain.headers["content-length"])
    for answer in (plain, small):
        assert answer.headers["content-type"] == "application/json"
    assert small.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in api.get("/v1/classifiers/c1", headers=GZIP).headers


@ONE_KIND_AT_FIRST
def test_images_are_not(api: TestClient) -> None:
    noise = base64.b64encode(png(3)).decode()
    body = {"images": [{"label": "stop", "b64": noise}]}
    sent = api.post("/v1/uploads", json=body).raise_for_status().json()
    (found,) = api.get(f"/v1/uploads/{sent['id']}/images").json()["data"]
    answer = api.get(f"/v1/images/{found['sha256']}", headers=GZIP)
    assert "content-encoding" not in answer.headers
    assert answer.content


def client(answer: Callable[[], Response]) -> TestClient:
    app = FastAPI()
    app.add_api_route("/", answer)
    app.add_middleware(Compression)
    return TestClient(app)


@pytest.mark.parametrize(
    ("asked", "compressed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*, gzip;q=0", False),
        ("*;q=0, gzip", True),
        ("gzip, *;q=0", True),
        ("br", False),
        ("", False),
    ],
)
def test_what_clients_accept(asked: str, compressed: bool) -> None:
    http = client(lambda: Response(LONG, media_type="text/plain"))
    answer = http.get("/", headers={"Accept-Encoding": asked})
    assert ("content-encoding" in answer.headers) == compressed
    assert answer.content == LONG


@pytest.mark.parametrize("kind", ["image/png", "text/event-stream", "application/x-tar"])
def test_other_kinds_pass_as_they_are(kind: str) -> None:
    answer = client(lambda: Response(LONG, media_type=kind)).get("/", headers=GZIP)
    assert "content-encoding" not in answer.headers
    assert answer.content == LONG


def test_what_is_compressed_stays_so_and_parts_pass() -> None:
    done = Response(gzip.compress(LONG), media_type="text/plain")
    done.headers["Content-Encoding"] = "gzip"
    assert client(lambda: done).get("/", headers=GZIP).content == LONG
    parts = client(lambda: StreamingResponse(iter([LONG, LONG]), media_type="text/plain"))
    answer = parts.get("/", headers=GZIP)
    assert "content-encoding" not in answer.headers
    assert answer.content == LONG * 2


def test_a_tag_becomes_a_weak_one() -> None:
    tagged = Response(LONG, media_type="application/json", headers={"ETag": '"abc"'})
    http = client(lambda: tagged)
    assert http.get("/", headers=PLAIN).headers["etag"] == '"abc"'
    assert http.get("/", headers=GZIP).headers["etag"] == 'W/"abc"'


def test_answers_are_written_in_the_thread_that_made_them() -> None:
    threads: list[int] = []

    class View(BaseModel):
        name: str

        @model_serializer
        def write(self) -> dict[str, Any]:
            threads.append(threading.get_ident())
            return {"name": self.name}

    def read() -> View:
        threads.append(threading.get_ident())
        return View(name="a")

    app = FastAPI()
    app.add_api_route("/", in_thread(read, None, tagged=False), response_model=View)
    assert TestClient(app).get("/").json() == {"name": "a"}
    made, *written = threads
    assert written == [made]
