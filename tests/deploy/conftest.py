"""One image, one deployment and one report for all tests of a run."""

import os
import shlex
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from tests.deploy.docker import ROOT, docker, what_is_missing
from tests.deploy.report import DeployReport
from tests.deploy.stack import Stack
from tests.e2e.harness import Digits

IMAGE = "accrue:test-deploy"
PROXY_IMAGE = "accrue-test-proxy"
BUCKET_IMAGE = "accrue-test-bucket"
REPORT = ROOT / "deploy-report.md"


def build(tag: str, *arguments: str) -> None:
    """Build an image; ACCRUE_TEST_DOCKER_BUILD holds what this engine needs beyond that."""
    options = shlex.split(os.environ.get("ACCRUE_TEST_DOCKER_BUILD", ""))
    docker("build", "--tag", tag, *options, *arguments)


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine and Compose; skips where there are none."""
    missing = what_is_missing()
    if missing:
        pytest.skip(missing)


@pytest.fixture(scope="session")
def report(engine: None) -> Iterator[DeployReport]:
    """Rows for deploy-report.md, which is written at the end."""
    report = DeployReport()
    yield report
    report.write(REPORT)


@pytest.fixture(scope="session")
def image(engine: None, report: DeployReport) -> str:
    """The image of this working tree."""
    with report.step("build the image") as step:
        build(IMAGE, ".")
        size = int(docker("image", "inspect", "--format", "{{.Size}}", IMAGE).stdout)
        step.found = f"{size / 1e9:.2f} GB; layers that were there already are not made again"
    return IMAGE


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    from app.demo.digits import write_digits  # slow to load

    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    return Digits(folder)


@pytest.fixture(scope="session")
def stack(
    image: str, report: DeployReport, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The deployment. Tests choose classifier names of their own and leave it as they found it."""
    stack = Stack(tmp_path_factory.mktemp("stack"), image)
    try:
        with report.step("`up` from nothing, until `/health/ready`") as step:
            stack.up()
            step.found = "database, schema, first key, API and worker"
        yield stack
        with report.step("`down --volumes`") as step:
            stack.down()
            assert stack.left_over() == []
            step.found = "no container, volume or network is left"
    finally:
        stack.down()


@pytest.fixture(scope="session")
def proxy_image(engine: None) -> str:
    build(PROXY_IMAGE, str(ROOT / "tests/deploy/proxy"))
    return PROXY_IMAGE


@pytest.fixture(scope="session")
def bucket_image(engine: None) -> str:
    moto = f"MOTO_VERSION={version('moto')}"
    build(BUCKET_IMAGE, "--build-arg", moto, str(ROOT / "tests/deploy/bucket"))
    return BUCKET_IMAGE
