"""The API over a storage in a bucket: links to it, and answers while it is away."""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.storage import BlobStore, open_store
from tests.app.learnt import Published, png
from tests.s3 import BUCKET, S3Server

Publish = Callable[..., Published]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of this module's own, which its tests stop for a while."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def settings(settings: Settings, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    storage = f"s3://{BUCKET}/{secrets.token_hex(8)}"
    return settings.model_copy(update={"storage": storage})


@pytest.fixture
def linking(settings: Settings, api: TestClient) -> Iterator[TestClient]:
    """A second API process, which hands out links."""
    settings = settings.model_copy(update={"signed_links": True})
    with TestClient(create_app(settings), follow_redirects=False) as client:
        yield client


def test_an_image_is_sent_or_linked_to(
    api: TestClient, linking: TestClient, publish: Publish, store: BlobStore
) -> None:
    publish(0, exemplars=[png(1)])
    sha256 = hashlib.sha256(png(1)).hexdigest()
    path = f"/v1/images/{sha256}"
    assert api.get(path, follow_redirects=False).content == png(1)

    answer = linking.get(path)
    assert answer.status_code == 307
    assert answer.headers["Cache-Control"] == "private, max-age=240"
    assert "X-Amz-Expires=300" in answer.headers["Location"]
    linked = httpx.get(answer.headers["Location"])
    assert (linked.content, linked.headers["Content-Type"]) == (png(1), "image/png")

    unknown = linking.get(f"/v1/images/{'0' * 64}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "image-not-found")
    store.delete(sha256)
    for client in (api, linking):
        gone = client.get(path)
        assert (gone.status_code, gone.json()["code"]) == (503, "image-unreadable")


def test_a_folder_has_no_links(settings: Settings, tmp_path: Path, publish: Publish) -> None:
    publish(0, exemplars=[png(1)])
    sha256 = hashlib.sha256(png(1)).hexdigest()
    folder = tmp_path / "blobs"
    open_store(str(folder)).put(png(1))
    settings = settings.model_copy(update={"storage": str(folder), "signed_links": True})
    with TestClient(create_app(settings), follow_redirects=False) as client:
        assert client.get(f"/v1/images/{sha256}").content == png(1)


def test_while_the_storage_is_away(
    api: TestClient, linking: TestClient, publish: Publish, settings: Settings, server: S3Server
) -> None:
    publish(0, exemplars=[png(1)])
    image = {"content": png(2), "headers": {"Content-Type": "image/png"}}
    assert api.post("/predict", **image).status_code == 200
    sha256 = hashlib.sha256(png(1)).hexdigest()
    server.stop()
    try:
        # Loaded versions are still served, and tensors that were read before come from the cache.
        assert api.post("/predict", **image).status_code == 200
        with TestClient(create_app(settings)) as another:
            assert another.post("/predict?version=1", **image).status_code == 200
        ready = api.get("/health/ready")
        assert (ready.status_code, ready.json()["detail"]) == (
            503,
            "Not answering, or not whole: storage. `accrue doctor` says more.",
        )
        files = [("files", ("a.png", png(3)))]
        for answer in (
            api.get(f"/v1/images/{sha256}"),
            linking.get(f"/v1/images/{sha256}"),
            api.post("/v1/uploads", data={"label": "a"}, files=files),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")
            assert answer.headers["Retry-After"] == "5"
    finally:
        server.start()
        server.client.create_bucket(Bucket=BUCKET)
    assert api.get("/health/ready").status_code == 200
    assert api.post("/v1/uploads", data={"label": "a"}, files=files).status_code == 201


def test_a_version_that_is_not_near_waits_for_the_storage(
    api: TestClient, publish: Publish, settings: Settings, server: S3Server
) -> None:
    publish(0)
    server.stop()
    try:
        far = settings.model_copy(update={"data_dir": settings.data_dir / "another machine"})
        with TestClient(create_app(far)) as another:
            answer = another.post(
                "/predict?version=1", content=png(2), headers={"Content-Type": "image/png"}
            )
            assert (answer.status_code, answer.json()["code"]) == (503, "version-unreadable")
            assert "does not answer" in answer.json()["detail"]
            assert answer.headers["Retry-After"] == "5"
    finally:
        server.start()
        server.client.create_bucket(Bucket=BUCKET)
