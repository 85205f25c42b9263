"""A disk that is really full: nothing is half-written, and the error is clear."""

import errno
import shutil
from pathlib import Path

from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.disk import fill
from tests.pictures import png
from worker.child import _failure


def test_uploads_and_writes_are_refused_and_work_again(
    small_disk: Path, migrated_sqlite: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated_sqlite, small_disk / "accrue.db")
    settings = Settings(
        data_dir=small_disk,
        database=f"sqlite:///{small_disk / 'accrue.db'}",
        device="cpu",
        inference_threads=1,
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as api:
        api.post("/v1/classifiers", json={"name": "before"}).raise_for_status()
        filler = fill(small_disk)
        files = [("files", ("a.png", png(1, 64, 64)))]
        full = api.post("/v1/uploads", data={"label": "a"}, files=files)
        assert (full.status_code, full.json()["code"]) == (507, "storage-full")
        assert list((small_disk / "blobs" / "incoming").iterdir()) == []
        body = {"name": "after", "options": {"epochs": 3}}
        answers = [
            api.post("/v1/classifiers", json={**body, "name": f"c{number}"}) for number in range(40)
        ]
        refused = [answer for answer in answers if answer.status_code != 201]
        assert refused
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
            assert answer.headers["Retry-After"]
        filler.unlink()
        assert api.post("/v1/classifiers", json=body).status_code == 201
        again = api.post("/v1/uploads", data={"label": "a"}, files=files)
        assert (again.status_code, again.json()["accepted"]) == (201, 1)


def test_a_training_process_says_that_the_storage_is_full() -> None:
    failure = _failure(OSError(errno.ENOSPC, "No space left on device"))
    assert (failure.code, failure.again, failure.retryable) == ("storage-full", False, True)
    other = _failure(OSError(errno.EIO, "Input/output error"))
    assert (other.code, other.again) == ("storage-failed", True)
