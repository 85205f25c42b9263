"""Versions of an older release keep what they show when their accuracies are moved."""

import json
from typing import Any

import pytest
from sqlalchemy import select, text

import migrations
from app.db.engine import Database, make_engine
from app.db.repositories import accuracies as accuracy_rows, versions as version_rows
from app.db.tables import AccuracyRow, Version
from app.services.classifiers import accuracies
from tests.app.db.test_migrations import NewDatabase, new_url  # noqa: F401 - a fixture

# Two tasks; then a class of the first is forgotten, so that its earlier accuracies do not compare.
METRICS: dict[str, dict[str, Any]] = {
    "ver_1": {
        "accuracy": 0.75,
        "matrix": [[0.75]],
        "task_aware_matrix": [[0.8]],
        "accuracies": [0.75],
        "per_class": {"a": 1.0, "b": 0.5},
        "per_class_measured_on": {"a": 4, "b": 4},
        "per_class_standard_error": {"a": 0.0, "b": 0.25},
    },
    "ver_2": {
        "accuracy": 0.5,
        "matrix": [[0.75], [0.5, 0.4]],
        "task_aware_matrix": [[0.8], [0.6, 0.9]],
        "accuracies": [0.75, 0.5],
        "per_class": {"a": 0.25, "b": None, "c": 1.0},
        "per_class_measured_on": {},
        "per_class_standard_error": {},
    },
    "ver_3": {
        "accuracy": 0.6,
        "matrix": [[None], [None, 0.4], [0.7, 0.3]],
        "task_aware_matrix": [[None], [None, 0.9], [0.8, 0.9]],
        "accuracies": [0.75, 0.5, 0.6],
        "per_class": {"a": 0.5, "c": 0.7},
        "per_class_measured_on": {"a": 4, "c": 10},
        "per_class_standard_error": {"a": 0.25, "c": 0.1},
    },
}
CLASSES = {
    "ver_1": [("a", 0, 0), ("b", 1, 0)],
    "ver_2": [("a", 0, 0), ("b", 1, 0), ("c", 2, 1)],
    "ver_3": [("a", 0, 0), ("c", 2, 1)],
}


@pytest.fixture
def older(new_url: NewDatabase) -> str:  # noqa: F811 - the fixture
    """URL of a database that the release before wrote."""
    url = new_url("older")
    migrations.upgrade(url)
    migrations.downgrade(url, "0018")
    engine = make_engine(url)
    with engine.begin() as connection:

        def insert(table: str, **row: Any) -> None:
            names = ", ".join(f'"{name}"' for name in row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)

        when = "2026-01-01"
        named = {"workspace": "default", "name": "toy", "spec": "{}", "last_version": 3}
        insert("classifiers", id="cls_1", **named, created_at=when)
        for sha256, size in (("x", 100), ("y", 20)):
            insert("blobs", sha256=sha256, size=size, created_at=when)
        for number, (key, metrics) in enumerate(METRICS.items(), 1):
            parent = f"ver_{number - 1}" if number > 1 else None
            insert(
                "versions",
                **{"id": key, "classifier_id": "cls_1", "number": number, "parent_id": parent},
                **{"method": "icarl", "spec": "{}", "metrics": json.dumps(metrics)},
                **{"memory": "{}", "created_at": when},
            )
            for label, index, task in CLASSES[key]:
                known = {"label": label, "index": index, "task": task}
                insert("version_classes", version_id=key, **known, train_images=1, kept=0)
            for name, sha256 in (("backbone", "x"), ("head", "y"), ("copy", "x")):
                insert("version_parts", version_id=key, name=name, sha256=sha256)
    engine.dispose()
    return url


def shown(url: str) -> dict[str, dict[str, Any]]:
    db = Database(url)
    with db.reading() as session:
        found = {
            row.id: accuracies.whole(session, row, version_rows.classes(session, [row.id])[row.id])
            for row in session.scalars(select(Version))
        }
    db.close()
    return found


def test_what_versions_show_stays(older: str) -> None:
    migrations.upgrade(older)
    assert shown(older) == METRICS
    db = Database(older)
    with db.reading() as session:
        rows = list(session.scalars(select(AccuracyRow).order_by(AccuracyRow.number)))
        assert [(row.version_id, row.number, row.tasks, row.remeasured) for row in rows] == [
            ("ver_1", 1, [0], []),
            ("ver_2", 2, [0, 1], []),
            ("ver_3", 3, [0, 1], [0]),
        ]
        assert [row.accuracies for row in rows] == [[0.75], [0.5, 0.4], [0.7, 0.3]]
        for version in session.scalars(select(Version)):
            assert set(version.metrics) == {"accuracy"}
            assert version.class_count == len(CLASSES[version.id])
            assert version.size_bytes == 120
        assert len(accuracy_rows.rows(session, "ver_3")) == 3
    db.close()


def test_the_release_before_finds_what_it_wrote(older: str) -> None:
    migrations.upgrade(older)
    migrations.downgrade(older, "0018")
    engine = make_engine(older)
    with engine.connect() as connection:
        query = select(Version.id, Version.metrics)
        assert dict(connection.execute(query).all()) == METRICS
    engine.dispose()
