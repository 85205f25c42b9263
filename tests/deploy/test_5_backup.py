"""A backup as docs/deployment.md describes it, restored into a fresh deployment."""

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.docker import docker
from tests.deploy.report import DeployReport
from tests.deploy.stack import Stack
from tests.e2e.harness import Digits

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]

TAR = ("run", "--rm", "-T", "--no-deps", "--entrypoint", "tar", "worker", "-C", "/data")


def state(stack: Stack, digits: Digits) -> list[Any]:
    """The versions, and what each says of every digit."""
    versions = stack.http.get("/v1/classifiers/kept/versions").json()["data"]
    answers = [
        stack.predict("kept", digits.held_out(label), version=number)
        for number in (1, 2)
        for label in range(10)
    ]
    return [versions, answers]


def test_a_backup_is_restored_into_a_fresh_deployment(
    stack: Stack, image: str, digits: Digits, report: DeployReport, tmp_path: Path
) -> None:
    stack.create("kept")
    for labels in ([0, 1], [2, 3]):
        stack.learn("kept", digits.zip(labels))
    before = state(stack, digits)

    with report.step("backup of the running deployment") as step:
        # The database first: blobs never change, and none that it names is removed for a day.
        dump = stack.compose(
            *("exec", "-T", "postgres", "pg_dump", "-U", "accrue", "-Fc", "accrue"),
            text=False,
            encoding=None,
        ).stdout
        # What is being written meanwhile is no part of it, and would make tar fail as it goes.
        without = ("--exclude", "blobs/incoming")
        blobs = stack.compose(*TAR, *without, "-cf", "-", "blobs", text=False, encoding=None).stdout
        step.found = f"database {len(dump) / 1e3:.0f} kB, blobs {len(blobs) / 1e6:.1f} MB"

    # An image that is not there yet, as on a new machine.
    fresh = Stack(tmp_path, f"{image}-restored")
    try:
        with report.step("restore into a fresh deployment, until it answers") as step:
            fresh.compose("build")
            fresh.compose("up", "-d", "postgres")
            fresh.wait_healthy("postgres")
            fresh.compose(
                *("exec", "-T", "postgres", "pg_restore", "-U", "accrue", "-d", "accrue"),
                "--exit-on-error",
                text=False,
                encoding=None,
                input=dump,
            )
            fresh.compose(*TAR, "-xf", "-", text=False, encoding=None, input=blobs)
            fresh.key = stack.key
            fresh.up()
            assert state(fresh, digits) == before
            migrate = fresh.compose("ps", "-a", "-q", "migrate").stdout.split()[0]
            assert "Read it with" not in fresh.logs(migrate)  # there is no new key to be read
            step.found = "the same key, and the same answers to the last digit"
        assert fresh.learn("kept", digits.zip([4, 5])) == 3
    finally:
        fresh.down()
        docker("image", "rm", f"{image}-restored", check=False)
    assert fresh.left_over() == []
