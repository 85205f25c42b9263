"""A database that another process has open is not replaced."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.db.engine import Database
from app.services.upkeep import backup, in_use, restoration
from app.services.uploads import uploads
from app.settings import Settings
from app.storage import BlobStore
from tests.worker.harness import WORKSPACE, Service
from worker.presence import Presence

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# An idle service: it has read something, and keeps its connection.
_HOLD = """
import sys
from sqlalchemy import text
from app.db.engine import Database
database = Database(sys.argv[1])
with database.reading() as session:
    session.execute(text("SELECT id FROM classifiers")).all()
print("open", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def opened_elsewhere(url: str) -> Iterator[None]:
    command = [sys.executable, "-c", _HOLD, url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield
        process.communicate()


@pytest.fixture
def folder(database: Database, settings: Settings, store: BlobStore, tmp_path: Path) -> Path:
    """A backup, after which the database has got another upload."""
    service = Service(database, settings)
    service.upload("a", count=2)
    backup.make(database, store, tmp_path / "backup")
    service.upload("b", count=2)
    database.close()
    return tmp_path / "backup"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_use, "_CLOSING_SECONDS", 0.5)


def count(settings: Settings) -> int:
    database = Database(settings.database_url)
    found = len(list(uploads.page(database, WORKSPACE, limit=10, after=None)))
    database.close()
    return found


def test_a_database_in_use_is_not_replaced(folder: Path, settings: Settings) -> None:
    with (
        opened_elsewhere(settings.database_url),
        pytest.raises(in_use.InUseError, match=r"another process has .*open|has a connection"),
    ):
        restoration.restore(folder, settings, replace=True)
    assert count(settings) == 2
    restoration.restore(folder, settings, replace=True)
    assert count(settings) == 1


def test_a_service_that_starts_while_blobs_are_copied_keeps_its_database(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = restoration._put
    with contextlib.ExitStack() as until_the_end:

        def put_while_it_starts(*given: Any) -> int:
            until_the_end.enter_context(opened_elsewhere(settings.database_url))
            return put(*given)

        monkeypatch.setattr(restoration, "_put", put_while_it_starts)
        with pytest.raises(in_use.InUseError):
            restoration.restore(folder, settings, replace=True)
    assert count(settings) == 2


@sqlite_only
@pytest.mark.parametrize("damage", [b"no database", b""])
def test_a_damaged_file_in_use_is_not_replaced(
    folder: Path, settings: Settings, damage: bytes
) -> None:
    """Damage is why one restores, and must not hide who still writes."""
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    with opened_elsewhere(settings.database_url):
        path.write_bytes(damage)
        with pytest.raises(in_use.InUseError):
            restoration.restore(folder, settings, replace=True)
    restoration.restore(folder, settings, replace=True)
    assert count(settings) == 1


@sqlite_only
@pytest.mark.parametrize("left", ["accrue.db-shm", None])
def test_a_running_service_whose_file_was_deleted_is_noticed(
    folder: Path, settings: Settings, left: str | None
) -> None:
    """By the index of the log, or where that is gone as well, by the lock of its worker."""
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    worker = Presence(settings.data_dir / "workers", "wrk_1")
    with opened_elsewhere(settings.database_url):
        for file in path.parent.glob("accrue.db*"):
            if file.name != left:
                file.unlink()
        if left is None:
            worker.show()
        with pytest.raises(in_use.InUseError, match="has .* open" if left else "worker of .* runs"):
            restoration.restore(folder, settings, replace=True)
    worker.hide()
    assert not path.exists()
    restoration.restore(folder, settings, replace=True)
    assert count(settings) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_connections_of_other_programs_do_not_count(folder: Path, settings: Settings) -> None:
    """Such as `psql`, or another installation in a schema of its own."""
    url = settings.database_url + "&application_name=psql"
    with opened_elsewhere(url):
        restoration.restore(folder, settings, replace=True)
    assert count(settings) == 1
