"""Fixtures that every suite shares: settings, a migrated database, a blob store."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from botocore.loaders import create_loader
from sqlalchemy import make_url

import migrations
from app.db.engine import Database, make_engine
from app.db.tables import Base
from app.settings import Settings
from app.storage import BlobStore, open_store
from tests.disk import small_disk  # noqa: F401 - a fixture
from tests.memory import use_memory
from tests.s3 import BUCKET, S3Server
from tests.servers import own_postgres, own_redis, server_folder  # noqa: F401 - fixtures

POSTGRES = os.environ.get("ACCRUE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")


def pytest_configure() -> None:
    use_memory()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to be copied, so that migrations run once in each test process."""
    path = tmp_path_factory.mktemp("template") / "accrue.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def new_postgres_schema() -> Iterator[Callable[[], str]]:
    """A function that makes an empty PostgreSQL schema and returns the URL that works in it."""
    engine = make_engine(POSTGRES)
    made: list[str] = []

    def make() -> str:
        name = f"accrue_{os.getpid()}_{secrets.token_hex(4)}"
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        except Exception as error:
            pytest.skip(f"no PostgreSQL at ACCRUE_TEST_POSTGRES ({POSTGRES}): {error}")
        made.append(name)
        # No test here crashes this server, so commits need not wait for its disk.
        options = f"-csearch_path={name} -csynchronous_commit=off"
        url = make_url(POSTGRES).update_query_dict({"options": options})
        return url.render_as_string(hide_password=False)

    yield make
    for name in made:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
    engine.dispose()


@pytest.fixture(scope="session")
def migrated_postgres(new_postgres_schema: Callable[[], str]) -> str:
    """URL of a migrated schema that only this test process uses."""
    url = new_postgres_schema()
    migrations.upgrade(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty, migrated database, once for each kind.

    Where one kind will do in `make test`: see `tests.databases`.
    """
    if request.param == "sqlite":
        path = tmp_path / "accrue.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("migrated_postgres")
    engine = make_engine(url)
    with engine.begin() as connection:
        # Many times faster than TRUNCATE while the tables are small.
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The database of `database_url`, opened."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def storage_url(request: pytest.FixtureRequest) -> str | None:
    """Where blobs lie: the folder of the settings, unless a test asks for a bucket.

    It does so with ``@pytest.mark.parametrize("storage_url", ["s3"], indirect=True)``.
    """
    kind = getattr(request, "param", "folder")
    return str(request.getfixturevalue("s3_url")) if kind == "s3" else None


@pytest.fixture
def settings(database_url: str, storage_url: str | None, tmp_path: Path) -> Settings:
    """Settings of a service on `database_url`, its files in the test's own folder."""
    return Settings(
        data_dir=tmp_path / "data",
        database=database_url,
        storage=storage_url,
        device="cpu",
        engine="torch",
        inference_threads=1,
        train_threads=1,
    )


@pytest.fixture
def store(settings: Settings) -> BlobStore:
    """The blob store that `settings` name."""
    return open_store(settings.storage_url)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that speaks S3, shared by the tests of this worker: each has a prefix of its own."""
    with pytest.MonkeyPatch.context() as patch:
        # Every client would parse the description of S3 again, which takes longer than its test.
        patch.setattr("botocore.session.create_loader", cache(create_loader))
        server = S3Server(tmp_path_factory.mktemp("s3"))
        yield server
        server.stop()


@pytest.fixture
def s3_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty storage on that server, which this process can open."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{secrets.token_hex(8)}"
