"""What the worker's tests speak to."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import migrations
from app.db.engine import Database
from app.settings import Settings
from models import methods
from tests.servers import OwnRedis
from tests.worker.harness import Place, Service


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    """A service over each kind of database, without a worker."""
    return Service(database, settings)


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[str]]:
    """URLs of empty databases of a Redis that the tests of a module have to themselves."""
    server = OwnRedis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield (f"{server.url}{number}" for number in range(1, 100))
    server.stop()


@pytest.fixture(
    scope="module",
    params=["sqlite, files", pytest.param("postgresql, redis", marks=pytest.mark.slow)],
)
def place(
    request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Place:
    """What a service of one machine stands on, and what one in production does."""
    if request.param == "sqlite, files":

        def copied() -> dict[str, str]:
            path = tmp_path_factory.mktemp("database") / "accrue.db"
            shutil.copy(migrated_sqlite, path)
            return {"database": f"sqlite:///{path}"}

        return copied
    new_schema: Callable[[], str] = request.getfixturevalue("new_postgres_schema")
    brokers: Iterator[str] = request.getfixturevalue("brokers")

    def migrated() -> dict[str, str]:
        url = new_schema()
        migrations.upgrade(url)
        return {"database": url, "broker": next(brokers)}

    return migrated


@pytest.fixture(scope="module")
def method_held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`held.Held`, offered as another package offers a method: to this process and to workers."""
    packages = tmp_path_factory.mktemp("packages")
    information = packages / "held-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: held\nVersion: 1\n")
    entry = f"[{methods.ENTRY_POINTS}]\nheld = tests.worker.held:Held\n"
    (information / "entry_points.txt").write_text(entry)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(packages)
        patch.setenv("PYTHONPATH", str(packages))
        methods._registry.cache_clear()
        yield
    methods._registry.cache_clear()
