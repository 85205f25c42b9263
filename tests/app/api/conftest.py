"""The whole service, on a real database, with all of its threads."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from fastapi.testclient import TestClient

from app.db.engine import Database
from app.inference.errors import VersionUnreadableError
from app.inference.registry import Registry
from app.main import create_app
from app.settings import Settings
from app.storage import BlobStore
from tests.app import learnt
from tests.app.learnt import Published


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    """A client of the running service."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def registry(api: TestClient) -> Registry:
    """The versions that the running service has in memory."""
    found: Registry = api.app.state.registry  # type: ignore[attr-defined]
    return found


@pytest.fixture
def publish(
    api: TestClient, registry: Registry, database: Database, store: BlobStore
) -> Callable[..., Published]:
    """Publish a version of classifier "signs", made where there is none, and let it go live.

    Loads the version that an alias names, so that its later moves are followed.
    """

    def publish(number: int = 0, **given: object) -> Published:
        if api.get("/v1/classifiers/signs").status_code == 404:
            api.post("/v1/classifiers", json={"name": "signs", **learnt.BODY}).raise_for_status()
        version = learnt.publish(database, store, "signs", number, **given)  # type: ignore[arg-type]
        registry.refresh()
        if (alias := given.get("alias", "live")) is not None:
            with suppress(VersionUnreadableError):
                registry.resolve("default", "signs", str(alias)).version.result()
        return version

    return publish
