"""Backups as docs/deployment.md describes them, each restored into a fresh deployment."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.docker import docker
from tests.deploy.page import shown
from tests.deploy.report import DeployReport
from tests.deploy.stack import Stack
from tests.e2e.harness import Digits

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]

# What goes through pipes is no text.
BYTES: dict[str, Any] = {"text": False, "encoding": None}
# The user of the containers, to whom the folder of a backup belongs.
ACCRUE = 10001


def state(stack: Stack, digits: Digits) -> list[Any]:
    """The versions, and what each says of every digit."""
    versions = stack.http.get("/v1/classifiers/kept/versions").json()["data"]
    answers = [
        stack.predict("kept", digits.held_out(label), version=number)
        for number in (1, 2)
        for label in range(10)
    ]
    return [versions, answers]


@pytest.fixture(scope="module")
def before(stack: Stack, digits: Digits) -> list[Any]:
    """What is to be restored."""
    stack.create("kept")
    for labels in ([0, 1], [2, 3]):
        stack.learn("kept", digits.zip(labels))
    return state(stack, digits)


@pytest.fixture
def fresh(image: str, tmp_path: Path) -> Iterator[Stack]:
    """Another deployment, of which the database runs."""
    # An image that is not there yet, as on a new machine.
    fresh = Stack(tmp_path, f"{image}-restored")
    try:
        fresh.compose("build")
        fresh.compose(*shown("up", "postgres"))
        fresh.wait_healthy("postgres")
        yield fresh
    finally:
        fresh.down()
        docker("image", "rm", f"{image}-restored", check=False)
    assert fresh.left_over() == []


def require_restored(fresh: Stack, stack: Stack, before: list[Any], digits: Digits) -> None:
    fresh.key = stack.key
    fresh.up()
    assert state(fresh, digits) == before
    migrate = fresh.compose("ps", "-a", "-q", "migrate").stdout.split()[0]
    assert "Read it with" not in fresh.logs(migrate)  # there is no new key to be read


def test_a_backup_of_accrue_is_restored(
    stack: Stack,
    fresh: Stack,
    before: list[Any],
    digits: Digits,
    report: DeployReport,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "backup"
    folder.mkdir(mode=0o777)
    if os.geteuid() == 0:
        os.chown(folder, ACCRUE, ACCRUE)
    else:
        folder.chmod(0o777)

    def here(command: list[str]) -> list[str]:
        return [word.replace("$PWD/backup", str(folder)) for word in command]

    with report.step("`accrue backup` of the running deployment") as step:
        step.found = stack.compose(*here(shown("backup"))).stdout.splitlines()[-1]
    with report.step("`accrue restore` into a fresh deployment, until it answers") as step:
        fresh.compose(*here(shown("restore")))
        require_restored(fresh, stack, before, digits)
        step.found = "the same key, and the same answers to the last digit"


def test_a_dump_and_the_blobs_are_restored(
    stack: Stack, fresh: Stack, before: list[Any], digits: Digits, report: DeployReport
) -> None:
    with report.step("dump of the running deployment") as step:
        # The database first: blobs never change, and none that it names is removed for a day.
        dump = stack.compose(*shown("pg_dump"), **BYTES).stdout
        # What is being written meanwhile is no part of it, and would make tar fail as it goes.
        blobs = stack.compose(*shown("tar", "-cf"), **BYTES).stdout
        step.found = f"database {len(dump) / 1e3:.0f} kB, blobs {len(blobs) / 1e6:.1f} MB"
    with report.step("restore into a fresh deployment, until it answers") as step:
        fresh.compose(*shown("pg_restore"), **BYTES, input=dump)
        fresh.compose(*shown("tar", "-xf"), **BYTES, input=blobs)
        require_restored(fresh, stack, before, digits)
        step.found = "the same key, and the same answers to the last digit"
    assert fresh.learn("kept", digits.zip([4, 5])) == 3
