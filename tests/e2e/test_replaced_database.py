"""The file of the database is taken away, or replaced, under a running API and worker."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.harness import Digits, Service, wait_for

pytestmark = pytest.mark.parametrize("start", ["sqlite, files"], indirect=True)


def move_all(data_dir: Path, target: Path) -> None:
    for path in data_dir.glob("accrue.db*"):
        path.rename(target / path.name)


def refused(service: Service) -> None:
    answer = service.http.post("/v1/classifiers", json={"name": "nowhere"})
    assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
    assert "deleted or replaced" in answer.json()["detail"]
    ready = service.http.get("/health/ready")
    assert ready.status_code == 503
    assert {"pointer": "/database", "detail": "DatabaseReplacedError"} in ready.json()["errors"]


@pytest.mark.slow
def test_nothing_is_accepted_until_the_file_is_back(
    start: Callable[..., Service], digits: Digits, tmp_path: Path
) -> None:
    service = start()
    service.create("kept")
    assert service.learn("kept", digits.zip([0, 1])) == 1
    zero = digits.held_out(0)
    before = service.predict_by("kept", 1, zero)
    upload = service.upload(digits.zip([2, 3]))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    move_all(service.data_dir, elsewhere)
    refused(service)
    assert service.predict("kept", zero) == before, "what is in memory is served"
    body = {"kind": "learn", "uploads": [upload]}
    assert service.http.post("/v1/classifiers/kept/jobs", json=body).status_code == 503
    assert list(service.data_dir.glob("accrue.db*")) == [], "no process has made an empty one"

    move_all(elsewhere, service.data_dir)
    wait_for(lambda: service.http.get("/health/ready").status_code == 200)
    service.create("new")
    assert service.learn("kept", digits.zip([2, 3])) == 2


# What a process does of the two files, tests/app/db/test_sqlite_file.py shows in make test.
@pytest.mark.slow
def test_another_file_is_used_after_a_start(
    start: Callable[..., Service], digits: Digits, tmp_path: Path
) -> None:
    service = start()
    service.create("before")
    service.stop()
    shutil.copy(service.data_dir / "accrue.db", tmp_path / "copy.db")
    service = start()
    service.create("after")
    for path in service.data_dir.glob("accrue.db*"):
        path.unlink()
    shutil.copy(tmp_path / "copy.db", service.data_dir / "accrue.db")
    refused(service)
    service.stop()

    service = start()
    known = [one["name"] for one in service.http.get("/v1/classifiers").json()["data"]]
    assert known == ["before"]
    service.create("again")
