"""`accrue doctor` where the storage or the file of the database has lost something."""

import os
from pathlib import Path

import pytest

from app.db.engine import Database
from app.db.repositories import versions as version_rows
from app.doctor import content, database as database_check
from app.doctor.findings import CheckContext, Finding
from app.services.upkeep import ownership
from app.settings import Settings
from app.storage import BlobStore, open_store
from app.storage.names import path_of
from tests.app.doctor.test_doctor import NOWHERE, said, well
from tests.app.services.steps.test_forgetting import held_out, taught
from tests.worker.harness import Service

on_both = pytest.mark.parametrize(
    ("database_url", "storage_url"),
    [("sqlite", "folder"), ("postgresql", "s3")],
    indirect=True,
    ids=["files", "servers"],
)
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


def examined(settings: Settings, *, deep: bool = False) -> list[Finding]:
    return list(content.check(CheckContext(settings, NOWHERE, {}, deep=deep)))


def tensor(service: Service, number: int) -> str:
    (version,) = [one for one in service.versions() if one.number == number]
    with service.db.reading() as session:
        (sha256,) = version_rows.parts(session, version.id).values()
    return sha256


@on_both
def test_everything_is_there(service: Service, settings: Settings) -> None:
    taught(service, "ab", "c")
    well(examined(settings))
    deep = examined(settings, deep=True)
    well(deep)
    # Eight images of each class and two tensors.
    assert [finding.what for finding in deep] == [
        "All 26 images and tensors are there, with their hashes"
    ]


@on_both
def test_a_lost_tensor_of_the_live_version_is_named(
    service: Service, store: BlobStore, settings: Settings
) -> None:
    taught(service, "ab", "c")
    lost = tensor(service, 2)
    store.delete(lost)
    for deep in (False, True):
        what = said(examined(settings, deep=deep), "problem", help_="accrue restore")
        assert what == (
            "1 blobs are missing in the storage. They are needed by toy version 2: tensors head "
            f"(blobs {lost[:12]})"
        )


@on_both
def test_other_losses_are_found_by_a_deep_look(
    service: Service, store: BlobStore, settings: Settings
) -> None:
    taught(service, "ab", "c")
    image = held_out(service, 1)[0][0]
    store.delete(tensor(service, 1))
    store.delete(image)
    well(examined(settings))
    what = said(examined(settings, deep=True), "problem")
    assert what.startswith("2 blobs are missing")
    assert "toy version 1: tensors head" in what
    assert "toy version 1: held-out images" in what
    assert "upload upl_" in what


@sqlite_only
def test_a_flipped_bit_is_found_by_a_deep_look(
    service: Service, store: BlobStore, settings: Settings
) -> None:
    taught(service, "ab")
    path = Path(settings.storage_url) / path_of(tensor(service, 1))
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    well(examined(settings))
    what = said(examined(settings, deep=True), "problem")
    assert what.startswith("1 blobs are damaged in the storage. They are needed by toy version 1")


def file_of(settings: Settings) -> Path:
    return Path(settings.database_url.removeprefix("sqlite:///"))


@sqlite_only
def test_a_damaged_file_of_the_database(service: Service, settings: Settings) -> None:
    taught(service, "ab")
    service.db.close()
    context = CheckContext(settings, NOWHERE, {})
    well(list(database_check.check(context)))
    data = bytearray(file_of(settings).read_bytes())
    # Some pages in the middle: those of the schema, which come first, stay readable.
    start = len(data) // 2 // 4096 * 4096
    data[start : start + 16 * 4096] = os.urandom(16 * 4096)
    file_of(settings).write_bytes(data)
    found = list(database_check.check(context))
    assert any(
        "Its file is damaged" in finding.what and "accrue restore" in finding.help
        for finding in found
        if finding.state == "problem"
    ), found


@sqlite_only
def test_a_file_that_is_gone_is_no_new_installation(
    service: Service, settings: Settings, store: BlobStore
) -> None:
    context = CheckContext(settings, NOWHERE, {})
    service.db.close()
    file_of(settings).rename(settings.data_dir.with_name("moved.db"))
    assert "does not exist yet" in said(list(database_check.check(context)), "warning")
    file_of(settings).with_name("moved.db").rename(file_of(settings))
    again = Database(settings.database_url)
    ownership.check(again, open_store(settings.storage_url))
    again.close()
    file_of(settings).unlink()
    what = said(list(database_check.check(context)), "problem", help_="accrue restore")
    assert "is gone" in what
