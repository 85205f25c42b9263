"""A SQLite file that is deleted or replaced while it is open: nothing is accepted into nowhere."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.engine import UNAVAILABLE, Database
from app.db.sqlite_file import DatabaseReplacedError
from app.db.tables import Worker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def path(database_url: str) -> Path:
    return Path(database_url.removeprefix("sqlite:///"))


def worker(database: Database, name: str) -> Worker:
    with database.reading() as session:
        now = database.now(session)
    return Worker(id=name, host="here", pid=1, queues=[], device="cpu", started_at=now, seen_at=now)


def write(database: Database, name: str) -> None:
    row = worker(database, name)
    with database.transaction() as session:
        session.add(row)


def names(path: Path) -> set[str]:
    """What another process finds in the file."""
    with sqlite3.connect(path) as connection:
        return {name for (name,) in connection.execute("SELECT id FROM workers")}


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def delete_log(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def delete_index(path: Path) -> None:
    path.with_name(f"{path.name}-shm").unlink()


def replace_by_copy(path: Path) -> None:
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    copy.replace(path)


def replace_by_empty(path: Path) -> None:
    path.unlink()
    path.touch()


@pytest.mark.parametrize(
    "accident",
    [delete, delete_all, delete_log, delete_index, replace_by_copy, replace_by_empty],
)
def test_nothing_is_read_or_written_any_more(
    database: Database, path: Path, accident: Callable[[Path], None]
) -> None:
    write(database, "before")
    accident(path)
    left = sorted(file.name for file in path.parent.glob(f"{path.name}*"))
    for _ in range(3):  # also when the pool opens new connections
        with pytest.raises(DatabaseReplacedError):
            write(database, "into nowhere")
        with pytest.raises(UNAVAILABLE), database.reading() as session:
            session.scalar(select(Worker.id))
    assert {file.name for file in path.parent.glob(f"{path.name}*")} <= set(left), "none is made"


@pytest.mark.parametrize("accident", [delete, delete_all, replace_by_copy])
def test_what_is_committed_into_a_file_that_went_meanwhile_is_refused(
    database: Database, path: Path, accident: Callable[[Path], None]
) -> None:
    row = worker(database, "into nowhere")

    def commit(session: Session) -> None:
        session.add(row)
        session.flush()
        accident(path)

    with pytest.raises(DatabaseReplacedError), database.transaction() as session:
        commit(session)


def test_it_goes_on_when_the_file_is_back(database: Database, path: Path) -> None:
    write(database, "before")
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        file.rename(elsewhere / file.name)
    with pytest.raises(DatabaseReplacedError):
        write(database, "into nowhere")
    for file in elsewhere.iterdir():
        file.rename(path.parent / file.name)
    write(database, "after")
    assert names(path) == {"before", "after"}


def test_a_process_that_starts_again_takes_the_file_that_is_there(
    database: Database, database_url: str, path: Path
) -> None:
    write(database, "before")
    replace_by_copy(path)
    with pytest.raises(DatabaseReplacedError):
        write(database, "into nowhere")
    database.close()
    again = Database(database_url)
    write(again, "after")
    again.close()
    assert "after" in names(path)


def test_other_processes_and_vacuum_are_no_replacement(
    database: Database, database_url: str, path: Path
) -> None:
    write(database, "before")
    other = Database(database_url)
    write(other, "other")
    other.close()
    with sqlite3.connect(path) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    write(database, "after")
    assert names(path) == {"before", "other", "after"}
