"""The Open Inference Protocol, byte by byte: see `test_v2_triton` for what a client makes of it."""

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from app.db.engine import Database
from app.settings import Settings
from app.storage import BlobStore
from tests.app import learnt
from tests.app.api.test_event_stream import Running, serving
from tests.app.keyed import bearer, new_key
from tests.app.learnt import LABELS, png
from tests.databases import ONE_KIND_AT_FIRST

pytestmark = ONE_KIND_AT_FIRST

FILES = [png(seed) for seed in range(3)]
LENGTH = "Inference-Header-Content-Length"


@contextmanager
def two_versions(settings: Settings, database: Database, store: BlobStore) -> Iterator[Running]:
    """A running service with two versions of a classifier, of which the second is live."""
    with serving(settings) as running:
        body = {"name": "signs", **learnt.BODY}
        running.http.post("/v1/classifiers", json=body).raise_for_status()
        learnt.publish(database, store, "signs", 0, held_out=30, alias=None)
        learnt.publish(database, store, "signs", 1, held_out=30)
        yield running


@pytest.fixture
def running(settings: Settings, database: Database, store: BlobStore) -> Iterator[Running]:
    with two_versions(settings, database, store) as running:
        yield running


def infer(running: Running, **asked: Any) -> Any:
    """Send files as bytes after the JSON."""
    data = b"".join(struct.pack("<I", len(file)) + file for file in FILES)
    parameters = {"binary_data_size": len(data)}
    tensor = {"name": "image", "datatype": "BYTES", "shape": [3], "parameters": parameters}
    head = json.dumps({"inputs": [tensor], **asked}).encode()
    headers = {LENGTH: str(len(head))}
    answer = running.http.post("/v2/models/signs/infer", content=head + data, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def test_answers_in_json_are_those_of_the_service(running: Running) -> None:
    form = [("files", ("x", file, "image/png")) for file in FILES]
    results = running.http.post("/predict", files=form).json()["results"]
    answer = infer(running, id="one").json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("one", "signs", "2")
    found = {each["name"]: each for each in answer["outputs"]}
    assert found["label"]["data"] == [result["label"] for result in results]
    assert (found["scores"]["datatype"], found["scores"]["shape"]) == ("FP32", [3, 3])
    for row, result in enumerate(results):
        for entry in result["ranked"]:
            score = found["scores"]["data"][3 * row + LABELS.index(entry["label"])]
            assert score == pytest.approx(entry["score"], abs=1e-5)
    assert found["p_known"]["data"] == pytest.approx([result["p_known"] for result in results])


def test_answers_in_bytes_follow_the_json(running: Running) -> None:
    ranked = {"name": "scores", "parameters": {"classification": 1}}
    outputs = [{"name": "p_known"}, ranked]
    answer = infer(running, outputs=outputs, parameters={"binary_data_output": True})
    length = int(answer.headers[LENGTH])
    head, data = json.loads(answer.content[:length]), answer.content[length:]
    sizes = [each["parameters"]["binary_data_size"] for each in head["outputs"]]
    assert sizes[0] == 3 * 8
    assert sum(sizes) == len(data)
    assert (np.frombuffer(data[:24], np.float64) > 0).all()
    size = int.from_bytes(data[24:28], "little")
    score, column, label = data[28 : 28 + size].decode().split(":", 2)
    assert 0 < float(score) < 1
    assert LABELS[int(column)] == label


def test_a_version_without_held_out_images_gives_null(
    settings: Settings, database: Database, store: BlobStore
) -> None:
    with serving(settings) as running:
        running.http.post("/v1/classifiers", json={"name": "signs", **learnt.BODY})
        learnt.publish(database, store, "signs", 0)
        answer = infer(running, outputs=[{"name": "p_known"}])
        assert answer.json()["outputs"][0]["data"] == [None] * 3


def test_a_key_is_asked_for(settings: Settings, database: Database) -> None:
    with serving(settings.model_copy(update={"keys": "required"})) as running:
        assert running.http.get("/v2/health/ready").status_code == 200
        answer = running.http.post("/v2/repository/index")
        assert (answer.status_code, bool(answer.json()["error"])) == (401, True)
        headers = bearer(new_key(database, "predict"))
        assert running.http.post("/v2/repository/index", headers=headers).json() == []


def test_limits_of_a_key_hold(settings: Settings, database: Database, store: BlobStore) -> None:
    key = bearer(new_key(database, "predict", images_per_second=0.01))
    with serving(settings.model_copy(update={"keys": "required"})) as running:
        admin = bearer(new_key(database, "admin"))
        body = {"name": "signs", **learnt.BODY}
        running.http.post("/v1/classifiers", json=body, headers=admin).raise_for_status()
        learnt.publish(database, store, "signs", 0)
        tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 1, 3], "data": [1, 2, 3]}
        statuses = [
            running.http.post(
                "/v2/models/signs/infer", json={"inputs": [tensor]}, headers=key
            ).status_code
            for _ in range(3)
        ]
        assert (statuses[0], statuses[-1]) == (200, 429)


@pytest.mark.parametrize(
    ("tensor", "binary", "said"),
    [
        ({"data": [1, 2]}, b"", "does not fit the shape"),
        ({"data": [1, 2, 300]}, b"", "from 0 to 255"),
        ({}, b"", "neither data nor bytes"),
        ({"parameters": {"binary_data_size": 3}}, b"12", "3 bytes are announced, 2 sent"),
        ({"parameters": {"binary_data_size": 2}}, b"12", "does not fit the shape"),
        ({"shape": [1, 1, 1, -3], "data": [1, 2, 3]}, b"", "the shape is"),
        ({"datatype": "BYTES", "parameters": {"binary_data_size": 2}}, b"12", "within a length"),
        (
            {"datatype": "BYTES", "parameters": {"binary_data_size": 5}},
            b"\x09\0\0\0x",
            "within an element",
        ),
        ({"datatype": "BYTES", "data": ["x"]}, b"", "cannot be in JSON"),
        (
            {"datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 5}},
            b"\x01\0\0\0x",
            "does not fit 1 images",
        ),
    ],
)
def test_malformed_tensors_are_refused(
    running: Running, tensor: dict[str, Any], binary: bytes, said: str
) -> None:
    given = {"name": "image", "datatype": "UINT8", "shape": [1, 1, 1, 3], **tensor}
    head = json.dumps({"inputs": [given]}).encode()
    answer = running.http.post(
        "/v2/models/signs/infer",
        content=head + binary,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert answer.status_code == 422
    assert said in answer.json()["error"]


def test_headers_that_do_not_fit_are_refused(running: Running) -> None:
    for length in ("9999999", "-1", "x"):
        answer = running.http.post(
            "/v2/models/signs/infer",
            content=b"{}",
            headers={"Inference-Header-Content-Length": length},
        )
        assert "must be the length of the JSON" in answer.json()["error"]
    assert "error" in running.http.post("/v2/models/signs/infer", content=b"{").json()
