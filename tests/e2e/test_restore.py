"""A service restored after the loss of its database, or of all data, answers as before."""

import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import ACCRUE, Digits, Service, wait_for

# Only the file of an SQLite database is lost and copied here.
pytestmark = pytest.mark.parametrize("start", ["sqlite, files"], indirect=True)


def taught(service: Service, digits: Digits) -> None:
    service.create("kept", validation_fraction=0.2)
    for labels in ([0, 1], [2, 3]):
        service.learn("kept", digits.zip(labels))


def state(service: Service, digits: Digits) -> list[Any]:
    """Everything about the versions except their jobs, and their answers."""
    versions = service.http.get("/v1/classifiers/kept/versions").json()["data"]
    answers = [
        service.predict("kept", digits.held_out(label), version=number)
        for number in (1, 2)
        for label in range(6)
    ]
    exemplars = service.http.get(
        "/v1/classifiers/kept/versions/2/exemplars", params={"label": "0"}
    ).json()
    return [[{**version, "job": None} for version in versions], answers, exemplars]


def reindex(data_dir: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*ACCRUE, "reindex", "--data-dir", str(data_dir), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# From a bucket, test_object_storage does the same in make test.
@pytest.mark.slow
def test_the_database_is_made_again_from_the_storage(
    start: Callable[..., Service], digits: Digits
) -> None:
    service = start()
    taught(service, digits)
    service.http.put("/v1/classifiers/kept/aliases/canary", json={"version": 1}).raise_for_status()
    before = state(service, digits)
    written = service.data_dir / "blobs/documents/classifiers"

    def canary_is_written() -> bool:
        return any("canary" in path.read_text() for path in written.glob("*/classifier.json"))

    wait_for(canary_is_written)
    service.stop()
    refused = reindex(service.data_dir)
    assert refused.returncode == 1
    assert "not empty" in refused.stderr
    for path in service.data_dir.glob("accrue.db*"):
        path.unlink()

    made = reindex(service.data_dir)
    assert (made.returncode, made.stdout) == (0, "2 versions of 1 classifiers: kept.\n"), made
    service = start()
    assert state(service, digits) == before
    assert service.predict("kept", digits.held_out(0))["version"] == 2
    assert service.learn("kept", digits.zip([4, 5])) == 3
    version = service.http.get("/v1/classifiers/kept/versions/3").json()
    assert [known["index"] for known in version["classes"]] == list(range(6))
    assert len(version["metrics"]["matrix"]) == 3


@pytest.mark.slow
def test_the_commands_back_up_and_restore(
    start: Callable[..., Service], digits: Digits, tmp_path: Path
) -> None:
    service = start()
    taught(service, digits)
    before = state(service, digits)
    job = service.queue("kept", digits.zip([4, 5]))  # runs meanwhile
    backup, data_dir = str(tmp_path / "backup"), str(service.data_dir)

    def accrue(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*ACCRUE, *command, backup, "--data-dir", data_dir],
            capture_output=True,
            text=True,
            check=False,
        )

    made = accrue("backup")
    assert made.returncode == 0, made
    running = accrue("restore", "--replace")
    assert (running.returncode, "Stop the service" in running.stderr) == (1, True), running
    service.finished(job["id"])
    assert service.stop(signal.SIGINT) == 0  # Ctrl-C
    refused = accrue("restore")
    assert (refused.returncode, "--replace" in refused.stderr) == (1, True), refused
    shutil.rmtree(service.data_dir)
    done = accrue("restore")
    assert done.returncode == 0, done
    service = start()
    assert_restored(service, digits, before)
    assert service.finished(job["id"])["version"] == 3


def assert_restored(service: Service, digits: Digits, before: Any) -> None:
    """All is as it was, but for the version of the job that ran meanwhile, and the aliases."""
    found = state(service, digits)
    found[0] = [version for version in found[0] if version["number"] <= 2]
    for version in found[0] + before[0]:
        version["aliases"] = []
    assert found == before


# Of both orders, tests/app/services/upkeep/test_backup.py tells in make test.
@pytest.mark.slow
def test_a_backup_made_while_running_is_restored(
    start: Callable[..., Service], digits: Digits, tmp_path: Path
) -> None:
    service = start()
    taught(service, digits)
    before = state(service, digits)
    # As docs/operations.md says: the database first, then the blobs; meanwhile a job runs.
    job = service.queue("kept", digits.zip([4, 5]))
    backup = tmp_path / "backup"
    backup.mkdir()
    source = sqlite3.connect(service.data_dir / "accrue.db")
    source.execute("VACUUM INTO ?", [str(backup / "accrue.db")])
    source.close()
    shutil.copytree(service.data_dir / "blobs", backup / "blobs")
    service.finished(job["id"])
    service.stop()

    shutil.rmtree(service.data_dir)
    shutil.copytree(backup, service.data_dir)
    service = start()
    assert_restored(service, digits, before)
    # The job that ran is done again, or was done before the copy; in any case once.
    assert service.finished(job["id"])["version"] == 3
