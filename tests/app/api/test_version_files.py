"""Versions as tar files: readable, byte for byte the same, and in parts."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from safetensors.torch import load

from app.db.engine import Database
from app.db.repositories import blobs as blob_rows
from app.db.tables import VersionPart
from app.settings import Settings
from app.storage import BlobStore
from app.storage.names import path_of
from tests.app import learnt
from tests.app.api.test_event_stream import serving
from tests.app.learnt import LABELS, Published
from tests.s3 import BUCKET, S3Server

Publish = Callable[..., Published]

FILE = "/v1/classifiers/signs/versions/1/checkpoint"
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_both_storages = pytest.mark.parametrize("storage_url", ["folder", "s3"], indirect=True)


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


@on_both_storages
def test_a_version_is_its_tensors_and_what_they_are(
    api: TestClient, publish: Publish, store: BlobStore
) -> None:
    version = publish(1)
    answer = api.get(FILE)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/x-tar"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="signs-1.tar"'
    found = members(answer.content)
    manifest: dict[str, Any] = json.loads(found.pop("manifest.json"))
    assert (manifest["classifier"], manifest["version"], manifest["method"]) == (
        "signs",
        1,
        "icarl",
    )
    assert [known["label"] for known in manifest["classes"]] == list(LABELS)
    assert {part["part"]: part["sha256"] for part in manifest["parts"]} == version.parts
    for part in manifest["parts"]:
        data = found.pop(part["file"])
        assert len(data) == part["size"]
        assert data == store.get(part["sha256"])
        assert load(data)
    assert found == {}


@on_both_storages
def test_the_same_bytes_each_time_and_in_parts(api: TestClient, publish: Publish) -> None:
    publish(1)
    whole = api.get(FILE)
    tag = whole.headers["ETag"]
    assert api.get(FILE.replace("/1/", "/live/")).content == whole.content
    size = len(whole.content)
    for asked, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=100-599", 100, 600),
        ("bytes=500-", 500, size),
        ("bytes=-700", size - 700, size),
        (f"bytes=1000-{10 * size}", 1000, size),
        (f"bytes=-{10 * size}", 0, size),
    ):
        part = api.get(FILE, headers={"Range": asked, "If-Range": tag})
        assert part.status_code == 206
        assert part.content == whole.content[start:end]
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.headers["ETag"] == tag
    for headers in (
        {"Range": "bytes=0-9", "If-Range": '"another"'},
        {"Range": "bytes=0-9,20-29"},
        {"Range": "bytes=9-0"},
        {"Range": "bytes=-"},
        {"Range": "lines=1-2"},
    ):
        answer = api.get(FILE, headers=headers)
        assert (answer.status_code, answer.content) == (200, whole.content)
    for asked in (f"bytes={size}-", "bytes=-0"):
        beyond = api.get(FILE, headers={"Range": asked})
        assert (beyond.status_code, beyond.json()["code"]) == (416, "range-not-satisfiable")
        assert beyond.headers["Content-Range"] == f"bytes */{size}"
    same = api.get(FILE, headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)


def test_a_download_that_was_cut_off_is_resumed(api: TestClient, publish: Publish) -> None:
    publish(0)
    whole = api.get(FILE)
    half = len(whole.content) // 2
    headers = {"Range": f"bytes={half}-", "If-Range": whole.headers["ETag"]}
    rest = api.get(FILE, headers=headers)
    assert whole.content[:half] + rest.content == whole.content


@on_both_storages
def test_tensors_that_are_gone_are_503(api: TestClient, publish: Publish, store: BlobStore) -> None:
    version = publish(1)
    whole = api.get(FILE).content
    store.delete(version.parts["head.1"])
    gone = api.get(FILE)
    assert (gone.status_code, gone.json()["code"]) == (503, "tensors-unreadable")
    # What is not in the range does not hinder.
    first = api.get(FILE, headers={"Range": "bytes=0-511"})
    assert first.content == whole[:512]


@on_both_storages
def test_a_damaged_tensor_is_found_before_the_first_byte(
    api: TestClient, publish: Publish, store: BlobStore, settings: Settings, s3_server: S3Server
) -> None:
    version = publish(1)
    whole = api.get(FILE).content
    # The last part, so that all others would have been sent before it was read.
    last = version.parts[max(version.parts)]
    damage(store, last, settings, s3_server)
    answer = api.get(FILE)
    assert (answer.status_code, answer.json()["code"]) == (503, "tensors-unreadable")
    part = api.get(FILE, headers={"Range": f"bytes=-{len(whole)}"})
    assert (part.status_code, part.json()["code"]) == (503, "tensors-unreadable")
    assert api.get(FILE, headers={"Range": "bytes=0-511"}).content == whole[:512]


def damage(store: BlobStore, sha256: str, settings: Settings, s3_server: S3Server) -> None:
    """Flip a bit in the middle of a stored blob, and forget the copies in the cache."""
    data = bytearray(store.get(sha256))
    data[len(data) // 2] ^= 1
    if settings.storage_url.startswith("s3://"):
        prefix = settings.storage_url.removeprefix(f"s3://{BUCKET}/")
        key = f"{prefix}/{path_of(sha256)}"
        s3_server.client.put_object(Bucket=BUCKET, Key=key, Body=bytes(data))
        (settings.cache_dir / sha256).unlink(missing_ok=True)
    else:
        (Path(settings.storage_url) / path_of(sha256)).write_bytes(data)


def test_what_is_damaged_while_it_is_sent_cuts_the_download_off(
    settings: Settings, database: Database, store: BlobStore, s3_server: S3Server
) -> None:
    """A client sees it: the answer is shorter than its Content-Length."""
    with serving(settings) as running:
        body = {"name": "signs", **learnt.BODY}
        running.http.post("/v1/classifiers", json=body).raise_for_status()
        version = learnt.publish(database, store, "signs", alias=None)
        # Larger than what the buffers of a connection hold.
        large = {name: store.put(os.urandom(2**24)) for name in ("a", "z")}
        with database.transaction() as session:
            now = database.now(session)
            blob_rows.record(session, dict.fromkeys(large.values(), 2**24), now)
            for name, sha256 in large.items():
                session.add(VersionPart(version_id=version.id, name=name, sha256=sha256))
        received = 0
        with running.http.stream("GET", FILE) as answer:
            assert answer.status_code == 200
            chunks = answer.iter_raw(2**16)
            received += len(next(chunks))
            damage(store, large["z"], settings, s3_server)
            with pytest.raises(httpx.RemoteProtocolError):
                for chunk in chunks:
                    received += len(chunk)
        assert 2**24 <= received < int(answer.headers["Content-Length"])


def test_what_is_not_there(api: TestClient, publish: Publish) -> None:
    publish(0)
    answers = [api.get(FILE.replace(*change)) for change in (("/1/", "/9/"), ("signs", "none"))]
    assert [answer.json()["code"] for answer in answers] == [
        "version-not-found",
        "classifier-not-found",
    ]
