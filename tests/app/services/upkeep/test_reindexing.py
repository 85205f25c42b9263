"""Reindexing restores classifiers to their workspaces; keys are never in the storage."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.db.engine import Database
from app.db.repositories import accuracies as accuracy_rows, classifiers as classifier_rows
from app.services.classifiers import classifiers, versions
from app.services.classifiers.spec import ClassifierSpec
from app.services.upkeep import manifests, reindexing
from app.services.upkeep.manifests import KnownClass, VersionManifest
from app.storage import BlobStore
from tests.app.keyed import new_key
from tests.worker.harness import nothing


def test_classifiers_come_back_to_their_workspaces(
    database: Database, store: BlobStore, migrated_sqlite: Path, tmp_path: Path
) -> None:
    token = new_key(database, "admin", workspace="team")
    for workspace, method in (("default", "icarl"), ("team", "finetune")):
        spec = ClassifierSpec(name="signs", method=method)
        classifiers.create(database, workspace, spec, on_created=nothing)
    with database.reading() as session:
        ids = classifier_rows.all_ids(session)
    for classifier_id in ids:
        manifests.write(database, store, classifier_id)
    written = b"".join(store.read_document(name) or b"" for name in store.documents(""))
    assert b"team" in written
    assert token.encode() not in written
    assert b"acr_" not in written

    shutil.copy(migrated_sqlite, tmp_path / "new.db")
    restored = Database(f"sqlite:///{tmp_path / 'new.db'}")
    assert sorted(reindexing.reindex(restored, store, merge=False).classifiers) == ["signs"] * 2
    for workspace, method in (("default", "icarl"), ("team", "finetune")):
        assert classifiers.get(restored, workspace, "signs").method == method
    restored.close()


def test_documents_that_contradict_keep_no_other_classifier_away(
    database: Database, store: BlobStore, migrated_sqlite: Path, tmp_path: Path
) -> None:
    for name in ("broken", "whole"):
        classifiers.create(database, "default", ClassifierSpec(name=name), on_created=nothing)
    with database.reading() as session:
        broken, whole = (
            classifier_rows.find(session, "default", name) for name in ("broken", "whole")
        )
    assert broken is not None
    assert whole is not None
    for row in (broken, whole):
        manifests.write(database, store, row.id)
    twice = KnownClass(index=0, label="a", task=0, train_images=1, ranking=None, kept=0)
    version = VersionManifest(
        id="ver_1",
        number=1,
        parent=None,
        method="icarl",
        spec={},
        metrics={},
        memory={},
        last_index=0,
        last_task=0,
        created_at=datetime.now(UTC),
        parts={},
        classes=[twice, twice],
        held_out={},
    )
    document = f"{manifests.folder(broken.id)}versions/1.json"
    store.write_document(document, version.model_dump_json().encode())

    shutil.copy(migrated_sqlite, tmp_path / "new.db")
    restored = Database(f"sqlite:///{tmp_path / 'new.db'}")
    result = reindexing.reindex(restored, store)
    assert result.classifiers == ["whole"]
    (problem,) = result.problems
    assert "contradict" in problem
    assert broken.id in problem
    with restored.reading() as session:
        assert classifier_rows.all_ids(session) == [whole.id]
    restored.close()


def test_documents_of_older_releases_have_whole_matrices(
    database: Database, store: BlobStore, migrated_sqlite: Path, tmp_path: Path
) -> None:
    classifiers.create(database, "default", ClassifierSpec(name="toy"), on_created=nothing)
    with database.reading() as session:
        row = classifier_rows.find(session, "default", "toy")
        assert row is not None
    manifests.write(database, store, row.id)
    measured: list[dict[str, Any]] = [
        {"matrix": [[0.75]], "accuracies": [0.75], "per_class": {"a": 0.75}},
        {"matrix": [[0.75], [0.5, 0.4]], "accuracies": [0.75, 0.45], "per_class": {"a": 0.5}},
    ]
    for number, metrics in enumerate(measured, 1):
        metrics["task_aware_matrix"] = metrics["matrix"]
        older = VersionManifest(
            id=f"ver_{number}",
            number=number,
            parent="ver_1" if number == 2 else None,
            method="icarl",
            spec={},
            metrics=metrics,
            memory={},
            last_index=number - 1,
            last_task=number - 1,
            created_at=datetime.now(UTC),
            parts={},
            classes=[
                KnownClass(index=task, label=label, task=task, train_images=1, ranking=None, kept=0)
                for task, label in enumerate("ab"[:number])
            ],
            held_out={},
        )
        document = older.model_dump_json(exclude={"measured"})
        store.write_document(f"{manifests.folder(row.id)}versions/{number}.json", document.encode())

    shutil.copy(migrated_sqlite, tmp_path / "new.db")
    restored = Database(f"sqlite:///{tmp_path / 'new.db'}")
    assert reindexing.reindex(restored, store).problems == []
    with restored.reading() as session:
        assert [row.number for row in accuracy_rows.own_rows(session, "ver_2")] == [2]
    shown = versions.get(restored, "default", "toy", "2").metrics
    assert shown.matrix == [[0.75], [0.5, 0.4]]
    assert shown.per_class == {"a": 0.5, "b": None}
    restored.close()
