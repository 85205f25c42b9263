"""Uploads: what is accepted and counted, and that nothing is half-written."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.tables import Base, Blob, Classifier, Image, Job, JobUpload, Upload, UploadImage
from app.ids import new_id
from app.imaging.decode import decode
from app.services.stored import StorageUnavailableError
from app.services.uploads import collecting, images, uploads
from app.services.uploads.sources import Item, Rejection, UploadLimits
from app.services.uploads.uploads import UploadView
from app.settings import Settings
from app.storage import BlobStore, LocalBlobStore
from tests.databases import images_of_upload
from tests.pictures import encode, jpeg, pixels, png

LIMITS = UploadLimits.of(Settings())
HERE = "default"


class Listed:
    """A source of ready items."""

    def __init__(self, *items: Item | Rejection) -> None:
        self._items = items
        self.closed = False

    def items(self, limits: UploadLimits) -> Iterator[Item | Rejection]:
        yield from self._items

    def close(self) -> None:
        self.closed = True


def item(seed: int, label: str = "stop", name: str = "") -> Item:
    return Item(name or f"{seed}.png", label, png(seed))


def count(session: Session, table: type[Base]) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def counts(database: Database) -> list[int]:
    with database.reading() as session:
        return [count(session, table) for table in (Blob, Image, Upload, UploadImage)]


def create(
    database: Database, store: BlobStore, *items: Item | Rejection, **options: bool
) -> UploadView:
    return uploads.create(database, store, HERE, Listed(*items), limits=LIMITS, **options)


def give_to_job(database: Database, upload_id: str, state: str) -> str:
    now = datetime.now(UTC)
    with database.transaction() as session:
        classifier = Classifier(
            id=new_id("cls"),
            workspace=HERE,
            name=new_id("c"),
            spec={},
            last_version=0,
            created_at=now,
        )
        session.add(classifier)
        session.flush()
        job = Job(
            id=new_id("job"),
            workspace=HERE,
            classifier_id=classifier.id,
            kind="learn",
            request={},
            state=state,
            attempt=0,
            failures=0,
            created_at=now,
        )
        session.add(job)
        session.flush()
        session.add(JobUpload(job_id=job.id, position=0, upload_id=upload_id))
    return job.id


def test_create_counts_what_it_takes(database: Database, store: BlobStore) -> None:
    source = Listed(
        item(1),
        item(2),
        item(1, name="again.png"),
        item(1, "go"),
        Item("x.png", "stop", b"no image"),
    )
    view = uploads.create(database, store, HERE, source, limits=LIMITS)
    assert view.id.startswith("upl_")
    assert view.classes == {"stop": 2, "go": 1}
    assert (view.accepted, view.duplicates) == (3, 1)
    assert [(rejected.name, rejected.reason[:12]) for rejected in view.rejected] == [
        ("x.png", "not an image")
    ]
    assert source.closed
    assert uploads.get(database, HERE, view.id) == view
    # One picture under two labels is one blob.
    assert counts(database) == [2, 2, 1, 3]


def test_images_keep_their_order_and_their_pixels(database: Database, store: BlobStore) -> None:
    sent = [jpeg(seed) if seed % 2 else png(seed) for seed in range(30)]
    items = [Item(f"{place}", f"class {place % 3}", data) for place, data in enumerate(sent)]
    view = create(database, store, *items)
    with database.reading() as session:
        rows = images_of_upload(session, view.id)
    assert [row.name for row in rows] == [item.name for item in items]
    assert [row.position for row in rows] == list(range(30))
    for row, data in zip(rows, sent, strict=True):
        assert (decode(store.get(row.sha256), 32) == decode(data, 32)).all()


def test_the_item_s_split_wins_over_the_request_s(database: Database, store: BlobStore) -> None:
    items = (item(1), Item("2.png", "stop", png(2), "train"))
    view = uploads.create(database, store, HERE, Listed(*items), limits=LIMITS, split="test")
    with database.reading() as session:
        assert [row.split for row in images_of_upload(session, view.id)] == ["test", "train"]


def test_formats_of_one_picture_differ_in_name_only_where_they_are_the_same_bytes(
    database: Database, store: BlobStore
) -> None:
    bmp = encode(pixels(seed=1), "BMP")
    view = create(database, store, Item("a.bmp", "stop", bmp), Item("b.bmp", "stop", bmp))
    assert (view.accepted, view.duplicates) == (1, 1)


def test_strict_takes_all_or_nothing(database: Database, store: BlobStore) -> None:
    with pytest.raises(collecting.RejectedImagesError) as caught:
        create(database, store, item(1), Item("x.png", "stop", b""), strict=True)
    assert caught.value.errors[0].pointer == "/x.png"
    assert counts(database) == [0, 0, 0, 0]


def test_nothing_usable_makes_no_upload(database: Database, store: BlobStore) -> None:
    source = Listed(Item("x.png", "stop", b"no image"), Rejection("y", "why"))
    with pytest.raises(collecting.NoUsableImagesError) as caught:
        uploads.create(database, store, HERE, source, limits=LIMITS)
    assert [error.detail for error in caught.value.errors][1] == "why"
    assert source.closed
    assert counts(database) == [0, 0, 0, 0]


def test_a_bad_class_name_rejects_its_image(database: Database, store: BlobStore) -> None:
    view = create(database, store, item(1, " caf\u00e9 / bar "), item(2, "\x07"), item(3, " "))
    assert view.classes == {"caf\u00e9 / bar": 1}
    assert len(view.rejected) == 2


def test_names_are_shown_without_what_databases_refuse(
    database: Database, store: BlobStore
) -> None:
    view = create(database, store, item(1, name="a\0b"), Item("\0\ud800" + "x" * 999, "stop", b""))
    assert view.rejected[0].name.startswith("\ufffd\ufffdxxx")
    assert len(view.rejected[0].name) == 300


def test_rejections_are_listed_up_to_a_thousand(database: Database, store: BlobStore) -> None:
    bad = [Rejection(str(number), "why") for number in range(1500)]
    assert len(create(database, store, item(1), *bad).rejected) == 1000


def test_rejections_are_summed_up(database: Database, store: BlobStore) -> None:
    """250 of 253 files cannot be read, and a class has none left."""
    bad = [Item(f"go/{number}.png", "go", b"") for number in range(199)]
    bad += [Item(f"stop/{number}.png", "stop", b"no image") for number in range(50)]
    late = Rejection("halt/in.zip", "an archive within the archive", "halt")
    view = create(database, store, item(1), item(2), item(3, "yield"), *bad, late)
    assert (view.accepted, view.rejected_count) == (3, 250)
    assert [
        (group.reason.split(" in ")[0], group.count, group.examples)
        for group in view.rejected_reasons
    ] == [
        ("the file is empty", 199, ["go/0.png", "go/1.png", "go/2.png"]),
        ("not an image", 50, ["stop/0.png", "stop/1.png", "stop/2.png"]),
        ("an archive within the archive", 1, ["halt/in.zip"]),
    ]
    assert view.empty_classes == ["go", "halt"]
    assert uploads.get(database, HERE, view.id) == view

    # What is added counts as well, and fills a class.
    source = Listed(item(4, "go"), Item("x.png", "up", b""), Item("y.png", "stop", b"no image"))
    more = uploads.add_images(database, store, HERE, view.id, source, limits=LIMITS)
    assert more.rejected_count == 252
    assert [group.count for group in more.rejected_reasons] == [200, 51, 1]
    assert more.empty_classes == ["halt", "up"]


def test_details_in_brackets_do_not_make_reasons_of_their_own(
    database: Database, store: BlobStore
) -> None:
    bad = [Rejection(f"{side}.png", f"too many pixels ({side} by {side})") for side in range(5)]
    view = create(database, store, item(1), *bad)
    ((reason, count),) = [(group.reason, group.count) for group in view.rejected_reasons]
    assert (reason, count) == ("too many pixels", 5)
    assert view.rejected[4].reason == "too many pixels (4 by 4)"


def test_the_count_goes_beyond_the_list(database: Database, store: BlobStore) -> None:
    bad = [Rejection(str(number), "why", f"class {number}") for number in range(1500)]
    view = create(database, store, item(1), *bad)
    assert (view.rejected_count, view.rejected_reasons[0].count) == (1500, 1500)
    assert (len(view.rejected), len(view.empty_classes)) == (1000, 1000)


def test_labels_of_rejected_files_are_cleaned(database: Database, store: BlobStore) -> None:
    named = [Rejection("a", "why", " cafe\u0301 "), Rejection("b", "why", "\x07")]
    view = create(database, store, item(1), *named)
    assert view.empty_classes == ["caf\u00e9"]
    assert [each.reason for each in view.rejected] == ["why", "why"]


def test_too_many_images(database: Database, store: BlobStore) -> None:
    limits = UploadLimits(image=LIMITS.image, archive=LIMITS.archive, images=2)
    with pytest.raises(collecting.TooManyImagesError):
        uploads.create(database, store, HERE, Listed(item(1), item(2), item(3)), limits=limits)
    view = uploads.create(database, store, HERE, Listed(item(1), item(2)), limits=limits)
    with pytest.raises(collecting.TooManyImagesError):
        uploads.add_images(database, store, HERE, view.id, Listed(item(3)), limits=limits)
    assert uploads.get(database, HERE, view.id).accepted == 2


def test_add_images_goes_on_where_the_upload_ended(database: Database, store: BlobStore) -> None:
    first = create(database, store, item(1), item(2))
    source = Listed(item(2), item(3), item(4, "go"))
    view = uploads.add_images(database, store, HERE, first.id, source, limits=LIMITS)
    assert view.classes == {"stop": 3, "go": 1}
    assert view.duplicates == 1
    with database.reading() as session:
        assert [row.position for row in images_of_upload(session, view.id)] == [0, 1, 2, 3]


def test_adding_to_one_upload_at_once_loses_nothing(database: Database, store: BlobStore) -> None:
    view = create(database, store, item(0))

    def add(seed: int) -> None:
        source = Listed(*(item(number) for number in (seed, seed + 1)))
        uploads.add_images(database, store, HERE, view.id, source, limits=LIMITS)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(8)))
    with database.reading() as session:
        assert [row.position for row in images_of_upload(session, view.id)] == list(range(9))


def test_uploads_of_the_same_images_at_once(database: Database, store: BlobStore) -> None:
    def send(turn: int) -> UploadView:
        seeds = range(10) if turn % 2 else reversed(range(10))
        return create(database, store, *(item(seed) for seed in seeds))

    with ThreadPoolExecutor(4) as pool:
        assert {view.accepted for view in pool.map(send, range(8))} == {10}
    assert counts(database) == [10, 10, 8, 80]


def test_an_upload_that_a_job_used_no_longer_changes(database: Database, store: BlobStore) -> None:
    view = create(database, store, item(1))
    give_to_job(database, view.id, "succeeded")
    source = Listed(item(2))
    with pytest.raises(uploads.UploadInUseError):
        uploads.add_images(database, store, HERE, view.id, source, limits=LIMITS)
    assert source.closed
    with pytest.raises(uploads.UploadInUseError):
        images.delete(database, HERE, view.id, hashes=(), label="stop", split=None)
    assert uploads.get(database, HERE, view.id) == view


@pytest.mark.parametrize("state", ["queued", "running", "cancelling"])
def test_an_upload_that_a_job_needs_is_not_deleted(
    database: Database, store: BlobStore, state: str
) -> None:
    view = create(database, store, item(1))
    give_to_job(database, view.id, state)
    with pytest.raises(uploads.UploadInUseError):
        uploads.delete(database, HERE, view.id)
    assert uploads.get(database, HERE, view.id) == view


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_an_upload_is_deleted_after_its_jobs(
    database: Database, store: BlobStore, state: str
) -> None:
    view = create(database, store, item(1))
    give_to_job(database, view.id, state)
    uploads.delete(database, HERE, view.id)
    with pytest.raises(uploads.UploadNotFoundError):
        uploads.get(database, HERE, view.id)
    # The image stays: a version may need it.
    assert counts(database) == [1, 1, 0, 0]


def test_uploads_of_another_workspace_are_not_there(database: Database, store: BlobStore) -> None:
    view = create(database, store, item(1))
    with pytest.raises(uploads.UploadNotFoundError):
        uploads.get(database, "another", view.id)
    with pytest.raises(uploads.UploadNotFoundError):
        uploads.delete(database, "another", view.id)
    assert uploads.page(database, "another", limit=10, after=None) == []


def test_pages_go_from_the_newest(database: Database, store: BlobStore) -> None:
    ids = [create(database, store, item(seed)).id for seed in range(5)][::-1]
    first = uploads.page(database, HERE, limit=2, after=None)
    rest = uploads.page(database, HERE, limit=10, after=first[-1].id)
    assert [view.id for view in [*first, *rest]] == ids


def test_what_fails_in_on_created_undoes_the_upload(database: Database, store: BlobStore) -> None:
    def fail(_session: Session, _view: UploadView) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        uploads.create(database, store, HERE, Listed(item(1)), limits=LIMITS, on_created=fail)
    assert counts(database) == [0, 0, 0, 0]


def test_a_store_that_is_broken_is_a_problem(database: Database, tmp_path: Path) -> None:
    root = tmp_path / "broken"
    broken = LocalBlobStore(root)
    (root / "incoming").rmdir()
    with pytest.raises(StorageUnavailableError):
        create(database, broken, item(1))
    assert counts(database) == [0, 0, 0, 0]
