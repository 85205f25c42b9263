"""Every kind of store, each with a way to damage its blobs from outside."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.storage import BlobStore, LocalBlobStore, open_store
from tests.s3 import BUCKET, S3Server

Damage = Callable[[str, bytes], None]


@pytest.fixture(params=["local", "s3"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "s3":
        return str(request.getfixturevalue("s3_url"))
    return str(tmp_path / "blobs")


@pytest.fixture
def blobs(url: str) -> BlobStore:
    return open_store(url)


@pytest.fixture
def damage(kind: str, url: str, request: pytest.FixtureRequest) -> Damage:
    """A function that overwrites a blob's bytes in the folder or bucket."""
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        prefix = url.removeprefix(f"s3://{BUCKET}/")

        def overwrite(sha256: str, data: bytes) -> None:
            key = f"{prefix}/{sha256[:2]}/{sha256[2:4]}/{sha256}"
            server.client.put_object(Bucket=BUCKET, Key=key, Body=data)

        return overwrite

    def write(sha256: str, data: bytes) -> None:
        path = LocalBlobStore(url).path(sha256)
        assert path is not None
        path.write_bytes(data)

    return write
