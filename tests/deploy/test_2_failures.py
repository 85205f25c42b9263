"""The worker's process and then the database die in the middle of a job."""

from typing import Any

import pytest

from tests.deploy.docker import docker, inspect
from tests.deploy.report import DeployReport
from tests.deploy.stack import Stack, healthy
from tests.e2e.harness import Digits, wait_for

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]

# Long enough to be interrupted, on any machine: the tests wait for what they need to see.
LONG = {"epochs": 400}
# From within, as the kernel kills for lack of memory: `docker kill` would be an order to stay down.
KILL = """
import os, pathlib
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    if path.read_bytes().strip(b" \\0") == b"accrue worker":
        os.kill(int(path.parent.name), 9)
"""


def in_training(stack: Stack, job_id: str) -> bool:
    job = stack.job(job_id)
    assert job["state"] in ("queued", "running"), job
    return job["phase"] == "training" and (job["progress"] or {}).get("epoch", 0) >= 2


def events(stack: Stack, job_id: str) -> list[str]:
    page = stack.http.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]
    return [event["type"] for event in page]


def versions_of(stack: Stack, name: str, job_id: str) -> list[int]:
    found: list[dict[str, Any]] = stack.http.get(f"/v1/classifiers/{name}/versions").json()["data"]
    return [version["number"] for version in found if version["job"] == job_id]


def test_a_killed_worker_comes_back_and_its_job_ends_once(
    stack: Stack, digits: Digits, report: DeployReport
) -> None:
    stack.create("killed")
    job = stack.queue("killed", digits.zip([0, 1]), options=LONG)["id"]
    wait_for(lambda: in_training(stack, job))
    with report.step("kill -9 of the worker in mid-training, until its job has succeeded") as step:
        (worker,) = stack.containers("worker")
        docker("exec", worker, "python3", "-c", KILL)
        ended = stack.finished(job)
        assert ended["state"] == "succeeded", ended
        assert ended["attempt"] == 2
        seen = events(stack, job)
        assert seen.count("succeeded") == 1
        assert versions_of(stack, "killed", job) == [1]
        assert inspect(worker)["RestartCount"] == 1
        step.found = "Docker started it again; attempt 2 " + (
            "went on from a checkpoint" if "resumed" in seen else "started over"
        )
    assert stack.predict("killed", digits.held_out(1))["results"][0]["label"] == "1"


def test_a_database_that_dies_costs_no_job_and_no_answer_of_a_loaded_version(
    stack: Stack, digits: Digits, report: DeployReport
) -> None:
    stack.create("cut")
    stack.learn("cut", digits.zip([0, 1]))
    before = stack.predict_by("cut", 1, digits.held_out(0))
    job = stack.queue("cut", digits.zip([2, 3]), options=LONG)["id"]
    wait_for(lambda: in_training(stack, job))
    (postgres,) = stack.containers("postgres")
    with report.step("kill -9 of PostgreSQL in mid-training, until its job has succeeded") as step:
        docker("kill", postgres)
        wait_for(lambda: stack.http.get("/health/ready").status_code == 503)
        assert stack.http.get("/health/live").status_code == 200
        assert stack.predict("cut", digits.held_out(0)) == before
        refused = stack.http.get("/v1/jobs")
        assert refused.status_code == 503, refused.text
        assert "Retry-After" in refused.headers
        docker("start", postgres)
        wait_for(lambda: healthy(postgres))
        wait_for(stack.ready)
        ended = stack.finished(job)
        assert ended["state"] == "succeeded", ended
        assert events(stack, job).count("succeeded") == 1
        assert versions_of(stack, "cut", job) == [2]
        step.found = (
            f"meanwhile predictions were answered and all else was 503; attempt {ended['attempt']}"
        )
    assert stack.predict_by("cut", 2, digits.held_out(3))["results"][0]["label"] == "3"


def test_a_broker_that_loses_all_delays_a_job(
    stack: Stack, digits: Digits, report: DeployReport
) -> None:
    (redis,) = stack.containers("redis")
    stack.create("unsent")
    with report.step(
        "Redis killed, a job accepted, Redis back empty: until it has succeeded"
    ) as step:
        docker("kill", redis)
        job = stack.queue("unsent", digits.zip([0, 1]))["id"]
        docker("start", redis)
        wait_for(lambda: healthy(redis))
        docker("exec", redis, "redis-cli", "flushall")
        ended = stack.finished(job)
        assert (ended["state"], ended["version"]) == ("succeeded", 1), ended
        step.found = "the upload and the job were accepted without it"


def test_after_a_power_failure_all_comes_back_in_any_order(
    stack: Stack, digits: Digits, report: DeployReport
) -> None:
    stack.create("dark")
    stack.learn("dark", digits.zip([0, 1]))
    before = stack.predict_by("dark", 1, digits.held_out(0))
    job = stack.queue("dark", digits.zip([2, 3]), options=LONG)["id"]
    wait_for(lambda: in_training(stack, job))
    services = ("api", "worker", "redis", "postgres")
    containers = [container for name in services for container in stack.containers(name)]
    with report.step("all containers killed at once and started, API and worker first") as step:
        docker("kill", *containers)
        for container in containers:
            docker("start", container)
        stack.connect()
        assert stack.predict("dark", digits.held_out(0), version=1) == before
        ended = stack.finished(job)
        assert ended["state"] == "succeeded", ended
        assert versions_of(stack, "dark", job) == [2]
        step.found = f"the job ended with attempt {ended['attempt']}, the answers are the same"
