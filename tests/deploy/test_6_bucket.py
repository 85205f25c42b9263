"""A deployment that keeps images and versions in a bucket, set up by .env alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.docker import docker
from tests.deploy.report import DeployReport
from tests.deploy.stack import Stack
from tests.e2e.harness import Digits, wait_for

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]

BUCKET = {
    "ACCRUE_STORAGE": "s3://accrue/shop",
    "AWS_ENDPOINT_URL_S3": "http://bucket:9000",
    "AWS_REGION": "eu-west-3",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
}
MAKE = """
import boto3
s3 = boto3.client("s3", region_name="eu-west-3")
s3.create_bucket(Bucket="accrue", CreateBucketConfiguration={"LocationConstraint": "eu-west-3"})
"""


@pytest.fixture
def kept_in_a_bucket(
    image: str, bucket_image: str, report: DeployReport, tmp_path: Path
) -> Iterator[Stack]:
    stack = Stack(tmp_path, image, files=("tests/deploy/bucket.yml",), **BUCKET)
    try:
        with report.step("`up` with a bucket of S3 and two workers") as step:
            stack.compose("up", "-d", "bucket")
            made = ("--rm", "-T", "--no-deps", "--entrypoint", "python3", "api", "-c", MAKE)
            wait_for(lambda: stack.compose("run", *made, check=False).returncode == 0)
            stack.up("--scale", "worker=2")
            step.found = "the settings are in `.env`"
        yield stack
    finally:
        stack.down()


def test_a_bucket_holds_all_and_the_volume_is_a_cache(
    kept_in_a_bucket: Stack, digits: Digits, report: DeployReport
) -> None:
    stack = kept_in_a_bucket
    with report.step("the whole loop on the bucket, then again without the volume") as step:
        names = ("left", "right")
        jobs = []
        for name in names:
            stack.create(name)
            jobs.append(stack.queue(name, digits.zip([0, 1]), options={"epochs": 100})["id"])
        assert [stack.finished(job)["state"] for job in jobs] == ["succeeded"] * 2
        images = [digits.held_out(label) for label in (0, 1)]
        for name in names:
            stack.predict_by(name, 1, images[0])
        before = [stack.predict(name, image) for name in names for image in images]
        (api,) = stack.containers("api")
        assert "blobs" not in docker("exec", api, "ls", "/data").stdout.split()

        stack.compose("rm", "--stop", "--force", "api", "worker")
        docker("volume", "rm", f"{stack.project}_data")
        stack.up("--scale", "worker=2")
        for name in names:
            stack.predict_by(name, 1, images[0])
        assert [stack.predict(name, image) for name in names for image in images] == before
        assert stack.learn("left", digits.zip([2, 3])) == 2
        step.found = "the same answers, and it goes on learning"
