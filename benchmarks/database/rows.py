"""A full database: rows of ten thousand versions, a hundred thousand jobs, a million images."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, insert

from app.db.tables import (
    AccuracyRow,
    Alias,
    Base,
    Blob,
    Classifier,
    Image,
    Job,
    JobEvent,
    JobUpload,
    Ranking,
    RankingImage,
    Upload,
    UploadImage,
    Version,
    VersionClass,
    VersionPart,
)
from app.services.classifiers.spec import ClassifierSpec
from models.spec import Spec

Row = dict[str, Any]
_BATCH = 5000
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLASSES = 10
PARTS = 4
EXEMPLARS = 20


@dataclass(frozen=True)
class Size:
    """How many rows there are; classifier 0 has half of the versions, in one line."""

    classifiers: int = 1000
    versions: int = 10_000
    jobs: int = 100_000
    queued: int = 5000
    uploads: int = 1000
    images: int = 1_000_000


def fill(engine: Engine, size: Size) -> None:
    """Insert the rows into an empty, migrated database."""
    writing = engine.execution_options(accrue_writes=True)
    with writing.begin() as connection:
        for table, rows in _tables(size):
            _insert(connection, table, rows)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # As autovacuum does soon after so many rows have come.
        vacuum = "VACUUM ANALYZE" if engine.dialect.name == "postgresql" else "ANALYZE"
        connection.exec_driver_sql(vacuum)


def classifier(number: int) -> str:
    """Return the id of a classifier."""
    return f"cls_{number:06}"


def version(number: int) -> str:
    """Return the id of a version, counted over all classifiers."""
    return f"ver_{number:06}"


def job(number: int) -> str:
    """Return the id of a job."""
    return f"job_{number:06}"


def upload(number: int) -> str:
    """Return the id of an upload."""
    return f"upl_{number:06}"


def _tables(size: Size) -> Iterator[tuple[type[Base], Iterable[Row]]]:
    yield Classifier, _classifiers(size)
    yield Upload, _uploads(size)
    yield Blob, ({"sha256": _hash(i), "size": 2000, "created_at": _NOW} for i in _blobs(size))
    yield (
        Image,
        (
            {"sha256": _hash(i), "media_type": "image/png", "width": 32, "height": 32}
            for i in range(size.images)
        ),
    )
    yield UploadImage, _upload_images(size)
    yield Job, _jobs(size)
    yield (
        JobUpload,
        (
            {"job_id": job(i), "position": 0, "upload_id": upload(i % size.uploads)}
            for i in range(size.jobs)
        ),
    )
    yield JobEvent, _events(size)
    yield (
        Ranking,
        (
            {"id": f"rnk_{number}_{label}", "classifier_id": classifier(number)}
            for number in range(size.classifiers)
            for label in range(CLASSES)
        ),
    )
    yield (
        RankingImage,
        (
            {
                "ranking_id": f"rnk_{number}_{label}",
                "rank": rank,
                "sha256": _hash(label * EXEMPLARS + rank),
            }
            for number in range(size.classifiers)
            for label in range(CLASSES)
            for rank in range(EXEMPLARS)
        ),
    )
    yield Version, _versions(size)
    yield (
        VersionPart,
        (
            {"version_id": version(i), "name": f"part.{part}", "sha256": _hash(size.images + part)}
            for i in range(size.versions)
            for part in range(PARTS)
        ),
    )
    yield VersionClass, _version_classes(size)
    yield AccuracyRow, _accuracy_rows(size)
    yield (
        Alias,
        (
            {"classifier_id": owner, "name": "live", "version_id": version(i), "updated_at": _NOW}
            for owner, i in {_owner(size, i)[0]: i for i in range(size.versions)}.items()
        ),
    )


def _insert(connection: Connection, table: type[Base], rows: Iterable[Row]) -> None:
    source = iter(rows)
    while batch := list(islice(source, _BATCH)):
        connection.execute(insert(table), batch)


def _hash(number: int) -> str:
    return f"{number:064x}"


def _blobs(size: Size) -> range:
    return range(size.images + PARTS)


def _owner(size: Size, number: int) -> tuple[str, int]:
    """Return the classifier of a version, and its number there."""
    line = size.versions // 2
    if number < line:
        return classifier(0), number + 1
    others = size.classifiers - 1
    return classifier(1 + (number - line) % others), 1 + (number - line) // others


def _classifiers(size: Size) -> Iterator[Row]:
    for number in range(size.classifiers):
        name = f"classifier-{number:06}"
        spec = ClassifierSpec(name=name, image_size=32).model_dump(mode="json")
        named = {"id": classifier(number), "workspace": "default", "name": name, "spec": spec}
        yield {**named, "last_version": size.versions, "created_at": _NOW}


def _uploads(size: Size) -> Iterator[Row]:
    each = size.images // size.uploads
    for number in range(size.uploads):
        yield {
            "id": upload(number),
            "workspace": "default",
            "classes": {f"class {label}": each // CLASSES for label in range(CLASSES)},
            "created_at": _NOW,
        }


def _upload_images(size: Size) -> Iterator[Row]:
    each = size.images // size.uploads
    for number in range(size.images):
        owner, position = divmod(number, each)
        label = f"class {position * CLASSES // each}"
        named = {"sha256": _hash(number), "label": label, "name": f"{label}/{position}.png"}
        yield {"upload_id": upload(owner), "position": position, "split": "train", **named}


def _jobs(size: Size) -> Iterator[Row]:
    request: Row = {
        "uploads": [upload(0)],
        "base_version": None,
        "options": {},
        "on_existing": "error",
    }
    for number in range(size.jobs):
        queued = number >= size.jobs - size.queued
        when = _NOW + timedelta(seconds=number)
        yield {
            "id": job(number),
            "workspace": "default",
            "classifier_id": classifier(number % size.classifiers),
            "kind": "learn",
            "request": request,
            "state": "queued" if queued else "succeeded",
            "created_at": when,
            "heartbeat_at": None if queued else when,
            "finished_at": None if queued else when,
        }


def _events(size: Size) -> Iterator[Row]:
    for number in range(size.jobs):
        for seq, kind in enumerate(("created", "started", "succeeded"), 1):
            made = {"at": _NOW, "type": kind, "level": "info", "message": kind, "data": {}}
            yield {"job_id": job(number), "seq": seq, **made}


def _versions(size: Size) -> Iterator[Row]:
    spec = Spec(method="icarl", backbone="resnet32", image_size=32).model_dump(mode="json")
    metrics = {"accuracy": 0.5, "standard_error": 0.01, "measured_on": 1000, "forgetting": 0.1}
    newest: dict[str, str] = {}
    for i in range(size.versions):
        owner, number = _owner(size, i)
        made = {"method": "icarl", "spec": spec, "metrics": metrics, "memory": {}}
        named = {"id": version(i), "classifier_id": owner, "number": number}
        named["job_id"] = job(i) if i < size.jobs else None
        counted = {"class_count": CLASSES, "size_bytes": PARTS * 2000, "created_at": _NOW}
        noted = {"annotations": {"metadata": {"owner": "Ann", "ticket": str(number)}}}
        yield {**named, "parent_id": newest.get(owner), **made, **counted, **noted}
        newest[owner] = version(i)


def _version_classes(size: Size) -> Iterator[Row]:
    measured = {"measured_on": 100, "accuracy": 0.5, "standard_error": 0.05}
    for i in range(size.versions):
        owner, _ = _owner(size, i)
        for label in range(CLASSES):
            ranking = f"rnk_{int(owner.removeprefix('cls_'))}_{label}"
            known = {"index": label, "label": f"class {label}", "task": label // 2}
            kept = {"train_images": 500, "ranking_id": ranking, "kept": EXEMPLARS}
            yield {"version_id": version(i), **known, **kept, **measured}


def _accuracy_rows(size: Size) -> Iterator[Row]:
    tasks = list(range(CLASSES // 2))
    for i in range(size.versions):
        values = [0.5] * len(tasks)
        row = {"tasks": tasks, "accuracies": values, "task_aware": values, "remeasured": []}
        yield {"version_id": version(i), "number": _owner(size, i)[1], "accuracy": 0.5, **row}
