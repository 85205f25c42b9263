"""What comes back from the storage comes back to its workspace; keys never go there."""

import shutil
from pathlib import Path

from app.db.engine import Database
from app.db.repositories import classifiers as rows
from app.services import classifiers, manifests, reindexing
from app.services.classifiers import ClassifierSpec
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
        ids = rows.all_ids(session)
    for classifier_id in ids:
        manifests.keep(database, store, classifier_id)
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
