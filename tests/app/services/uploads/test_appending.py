"""Parts of an upload: each is compared with all earlier ones, at a cost of its own size."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, insert, text, update
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.tables import Blob, Image, UploadImage
from app.services.uploads import images, uploads
from app.services.uploads.contradictory import ContradictoryLabelsError
from app.services.uploads.sources import Item
from app.services.uploads.uploads import UploadView
from app.storage import BlobStore
from tests.app.services.uploads.test_uploads import HERE, LIMITS, Listed, create, item
from tests.pictures import png

# Instructions of SQLite's virtual machine between two calls of the handler that counts them.
_STEPS = 10
_ROWS_READ = text("SELECT sum(pg_stat_get_xact_tuples_returned(oid)) FROM pg_class")


def add(
    database: Database, store: BlobStore, upload: UploadView, *items: Item, **options: Any
) -> UploadView:
    return uploads.add_images(
        database, store, HERE, upload.id, Listed(*items), limits=LIMITS, **options
    )


def fill(database: Database, upload: UploadView, count: int) -> None:
    """Give an upload so many more images, each in one of ten groups."""
    hashes = [hashlib.sha256(f"{upload.id} {n}".encode()).hexdigest() for n in range(count)]
    now = datetime.now(UTC)
    size = {"media_type": "image/png", "width": 1, "height": 1}
    with database.transaction() as session:
        session.execute(
            insert(Blob), [{"sha256": each, "size": 9, "created_at": now} for each in hashes]
        )
        session.execute(
            insert(Image), [{"sha256": each, "pixels_sha256": each, **size} for each in hashes]
        )
        rows = [
            {
                **{"upload_id": upload.id, "position": position, "sha256": sha256, "name": "x"},
                **{"label": "stop", "split": "train", "group": f"g{position % 10}"},
            }
            for position, sha256 in enumerate(hashes, start=1)
        ]
        session.execute(insert(UploadImage), rows)
        session.execute(text("ANALYZE"))


@contextmanager
def counted(database: Database) -> Iterator[list[int]]:
    """Count what is read: rows by PostgreSQL's transaction, instructions that SQLite executes."""
    found = [0]

    def count(*_: object) -> int:
        found[0] += _STEPS
        return 0

    def start(connection: Any, *_: object) -> None:
        connection.set_progress_handler(count, _STEPS)

    sqlite = database.engine.dialect.name == "sqlite"
    if sqlite:
        event.listen(database.engine, "checkout", start)
    yield found
    if sqlite:
        event.remove(database.engine, "checkout", start)


def read_by_a_part(database: Database, store: BlobStore, earlier: int) -> int:
    """Return how much a part of three images reads after so many earlier ones."""
    upload = create(database, store, item(earlier))
    fill(database, upload, earlier)
    part = [
        Item("a.png", "stop", png(earlier + 1), group="g3"),
        Item("b.png", "stop", png(earlier + 2), group="new"),
        Item("again.png", "yield", png(earlier), group="g4"),
    ]
    rows = 0

    def ask(session: Session, _view: UploadView) -> None:
        nonlocal rows
        if database.engine.dialect.name == "postgresql":
            rows = int(session.scalar(_ROWS_READ) or 0)

    with counted(database) as steps:
        after = add(database, store, upload, *part, on_created=ask)
    assert after.groups == 1  # those that `fill` makes are not counted in the row
    assert any("'again.png'" in warning for warning in after.warnings)
    return rows or steps[0]


def test_a_part_does_not_read_what_the_upload_has(database: Database, store: BlobStore) -> None:
    assert 0 < read_by_a_part(database, store, 8_000) < 2_000


def test_parts_are_counted_as_one_upload(database: Database, store: BlobStore) -> None:
    parts = [
        [Item("1", "stop", png(1), group="a"), Item("2", "go", png(2), split="test", group="b")],
        [Item("3", "go", png(3), group="b"), Item("4", "slow", png(4), group="c")],
        [Item("2 again", "go", png(2), group="b"), Item("5", "stop", png(5))],
    ]
    upload = create(database, store, *parts[0])
    for part in parts[1:]:
        upload = add(database, store, upload, *part)
    whole = create(database, store, *(each for part in parts for each in part))
    counts = ("classes", "splits", "accepted", "duplicates", "groups", "warnings")
    assert upload.model_dump(include=counts) == whole.model_dump(include=counts)
    assert list(upload.classes.items()) == [("stop", 2), ("go", 2), ("slow", 1)]
    assert (upload.splits.test, upload.duplicates, upload.groups) == (1, 1, 3)


def test_contradictions_go_across_parts(database: Database, store: BlobStore) -> None:
    upload = create(database, store, *(item(n, "stop", f"s{n}") for n in range(25)))
    with pytest.raises(ContradictoryLabelsError) as refused:
        add(database, store, upload, item(0, "go", "g0"), strict=True)
    assert [error.pointer for error in refused.value.errors] == ["/g0"]
    for start, end in ((0, 15), (15, 22), (22, 25)):
        part = [item(n, "go", f"g{n}") for n in range(start, end)]
        upload = add(database, store, upload, *part)
    named = [line for line in upload.warnings if "is the same image as" in line]
    assert [line.split(",")[0] for line in named] == [f"'g{n}'" for n in range(20)]
    assert [line for line in upload.warnings if "more images" in line] == [
        "5 more images have two labels."
    ]
    # A part that has none is refused as well: the upload as a whole is not what strict means.
    with pytest.raises(ContradictoryLabelsError) as refused:
        add(database, store, upload, item(100, "stop"), strict=True)
    assert len(refused.value.errors) == 25
    gone = images.delete(database, HERE, upload.id, hashes=[], label="go", split=None)
    assert not gone.warnings
    assert add(database, store, gone, item(100, "stop"), strict=True).accepted == 26


def test_a_file_whose_pixels_are_not_known_is_recognised(
    database: Database, store: BlobStore
) -> None:
    upload = create(database, store, item(1, "stop", "first"))
    with database.transaction() as session:  # as images were stored by the first releases
        session.execute(update(Image).values(pixels_sha256=None))
    again = add(database, store, upload, item(1, "stop"), item(1, "go", "other"))
    assert (again.duplicates, again.classes) == (1, {"stop": 1, "go": 1})
    assert "'other', labelled 'go', is the same image as 'first'" in again.warnings[0]


def test_labels_that_are_nearly_equal_are_said_of_all_parts_once(
    database: Database, store: BlobStore
) -> None:
    upload = create(database, store, item(1, "Stop sign"))
    for seed, label in ((2, "stop sign"), (3, "yield"), (4, "stop sing")):
        upload = add(database, store, upload, item(seed, label))
    assert len(upload.warnings) == len(set(upload.warnings)) == 2
