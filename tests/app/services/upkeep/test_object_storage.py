"""Uploads, sweeps, purges and manifests over a bucket, and how many requests they make.

docs/object-storage.md has these numbers.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows
from app.services.upkeep import manifests, ownership, reindexing, sweeping
from app.services.uploads import uploads
from app.settings import Settings
from app.storage import BlobStore
from tests.app.services.steps.test_forgetting import images_of, taught
from tests.app.services.upkeep.test_sweeping import rows, stored
from tests.s3 import S3Server
from tests.worker.harness import WORKSPACE, Service

pytestmark = [
    pytest.mark.parametrize("storage_url", ["s3"], indirect=True),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]
Counted = Callable[[], Counter[str]]


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    at_once = settings.model_copy(update={"sweep_grace_hours": 1e-9})
    return Service(database, at_once)


@pytest.fixture
def counted(s3_server: S3Server) -> Counted:
    """A function that counts the requests since its last call, by method."""
    seen = 0

    def count() -> Counter[str]:
        nonlocal seen
        lines = s3_server.requests()[seen:]
        seen += len(lines)
        return Counter("LIST" if "list-type" in line else line.split()[0] for line in lines)

    count()
    return count


def test_an_upload_puts_each_image_and_asks_for_it_once(service: Service, counted: Counted) -> None:
    service.upload("ab", count=20)
    assert counted() == {"PUT": 20, "HEAD": 20}


def test_a_sweep_lists_and_deletes(service: Service, store: BlobStore, counted: Counted) -> None:
    upload = service.upload("a", count=10)
    orphans = {store.put(b"one"), store.put(b"two")}
    assert sweeping.sweep(service.db, store, service.settings).blobs == 0  # marks them
    counted()
    swept = sweeping.sweep(service.db, store, service.settings)
    assert swept.blobs == 2
    # The installation's document is read, then documents, unfinished and blobs are listed, and what
    # goes is looked at and deleted.
    requests = counted()
    assert (requests["HEAD"], requests["DELETE"]) == (2, 2)
    assert requests.total() <= 2 * 2 + 5
    assert stored(store) == images_of(service, upload, "a")
    assert rows(service, orphans) == 0


def test_what_a_deleted_upload_leaves_goes(service: Service, store: BlobStore) -> None:
    (upload,) = taught(service, "ab")
    uploads.delete(service.db, WORKSPACE, upload)
    for _ in range(2):  # the first marks what goes
        sweeping.sweep(service.db, store, service.settings)
    # Two exemplars and two held-out images of each class, and the version's tensor.
    assert len(stored(store)) == 2 * (2 + 2) + 1


def test_a_lost_database_is_made_again(
    service: Service, store: BlobStore, migrated_sqlite: Path, tmp_path: Path
) -> None:
    taught(service, "ab")
    with service.db.reading() as session:
        (classifier_id,) = classifier_rows.changed(session, limit=10)
    manifests.write(service.db, store, classifier_id)
    ownership.check(service.db, store)
    shutil.copy(migrated_sqlite, tmp_path / "new.db")
    empty = Database(f"sqlite:///{tmp_path / 'new.db'}")
    with pytest.raises(ownership.ForeignStorageError):
        sweeping.sweep(empty, store, service.settings)
    result = reindexing.reindex(empty, store)
    assert (result.versions, result.problems) == (1, [])
    for _ in range(2):  # the first marks what goes
        sweeping.sweep(empty, store, service.settings)
    empty.close()
    # All but what only the upload held: it did not come back.
    assert len(stored(store)) == 2 * (2 + 2) + 1
