"""One service for the tests that can share it; a place for those that need their own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.demo.digits import write_digits
from tests.e2e.harness import Digits, Service
from tests.servers import OwnPostgres, OwnRedis


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    return Digits(folder)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service. Tests choose classifier names of their own."""
    service = Service(tmp_path_factory.mktemp("shared") / "data")
    yield service
    service.stop()


@pytest.fixture
def production(own_postgres: OwnPostgres, own_redis: OwnRedis) -> dict[str, str]:
    """Settings of a service on servers of the test's own."""
    return {"ACCRUE_DATABASE": own_postgres.url, "ACCRUE_BROKER": own_redis.url}


@pytest.fixture(params=["sqlite, files", pytest.param("postgresql, redis", marks=pytest.mark.slow)])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """A function that starts a service of the test's own, over the same data folder each time."""
    servers = {} if request.param == "sqlite, files" else request.getfixturevalue("production")
    started: list[Service] = []

    def start(**settings: Any) -> Service:
        started.append(Service(tmp_path / "data", **servers, **settings))
        return started[-1]

    yield start
    for service in started:
        if service.process.poll() is None:
            service.stop()


@pytest.fixture(params=["sqlite, files", "postgresql, redis"])
def either_service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """The shared service, and one on servers as in production."""
    if request.param == "sqlite, files":
        yield request.getfixturevalue("service")
        return
    servers = request.getfixturevalue("production")
    service = Service(tmp_path / "data", **servers)
    yield service
    service.stop()
