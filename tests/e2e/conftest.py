"""Services that tests share, and functions that start one for a single test."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from tests.e2e.harness import Digits, Service
from tests.e2e.reader import Reader
from tests.servers import OwnPostgres, OwnRedis


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    from app.demo.digits import write_digits  # slow to load

    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    return Digits(folder)


@pytest.fixture
def inverted_digits(tmp_path: Path, digits: Digits) -> Digits:
    """The digits 0 to 3 as negatives: images that no other test uploads to a shared service."""
    for split in ("train", "test"):
        for label in range(4):
            home = tmp_path / "inverted" / split / str(label)
            home.mkdir(parents=True)
            for path in digits.images(label, split):
                with Image.open(path) as image:
                    ImageOps.invert(image).save(home / path.name)
    return Digits(tmp_path / "inverted")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service. Tests choose classifier names of their own."""
    service = Service(tmp_path_factory.mktemp("shared") / "data")
    yield service
    service.stop()


@dataclass(frozen=True)
class Production:
    """A service on PostgreSQL and Redis, and these servers."""

    service: Service
    postgres: OwnPostgres
    redis: OwnRedis


@pytest.fixture(scope="session")
def shared_production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """A service as in production. A test that stops a server starts it again."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # other users may enter, as PostgreSQL's does
        for own in ("postgres", "redis"):
            (folder / own).mkdir()
        postgres, redis = OwnPostgres(folder / "postgres"), OwnRedis(folder / "redis")
        postgres.start()
        redis.start()
        servers = {"ACCRUE_DATABASE": postgres.url, "ACCRUE_BROKER": redis.url}
        service = Service(tmp_path_factory.mktemp("production") / "data", **servers)
        yield Production(service, postgres, redis)
        service.stop()
        redis.stop()
        postgres.stop()


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
def either_service(request: pytest.FixtureRequest) -> Service:
    """Each of the shared services."""
    if request.param == "sqlite, files":
        shared: Service = request.getfixturevalue("service")
        return shared
    production: Production = request.getfixturevalue("shared_production")
    return production.service


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Callable[..., Reader]]:
    """A function that makes a reader of a service, or of none yet."""
    readers: list[Reader] = []

    def make(service: Service | None, **environment: str) -> Reader:
        readers.append(Reader(tmp_path, service and service.http, **environment))
        return readers[-1]

    yield make
    for reader in readers:
        reader.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Service]:
    """A service with nothing in it."""
    service = Service(tmp_path / "alone")
    yield service
    service.stop()
