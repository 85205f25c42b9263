"""Three workers, and two API containers behind the nginx.conf that is shipped."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.deploy.docker import docker
from tests.deploy.report import DeployReport
from tests.deploy.stack import Stack
from tests.e2e.harness import Digits, wait_for, zip_of

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def scaled(
    stack: Stack, proxy_image: str, report: DeployReport, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of the proxy in front of the scaled deployment."""
    with report.step("`--scale worker=3 --scale api=2`, and nginx in front") as step:
        stack.lay_over("tests/deploy/proxy.yml")
        stack.up("--scale", "worker=3", "--scale", "api=2")
        (proxy,) = stack.containers("proxy")
        certificate = tmp_path_factory.mktemp("tls") / "ca.pem"
        certificate.write_text(docker("exec", proxy, "cat", "/etc/nginx/tls/fullchain.pem").stdout)
        address = stack.compose("port", "proxy", "443").stdout.strip()
        trusted = ssl.create_default_context(cafile=str(certificate))
        http = stack.client(f"https://{address}", verify=trusted)
        wait_for(lambda: http.get("/health/ready").status_code == 200)
        step.found = "TLS ends at nginx, which knows the containers by Docker's name server"
    yield http
    stack.peel_off("proxy")
    stack.up("--scale", "worker=1", "--scale", "api=1")


def test_workers_share_the_jobs(
    scaled: httpx.Client, stack: Stack, digits: Digits, report: DeployReport
) -> None:
    workers = stack.containers("worker")
    assert len(workers) == 3
    for worker in workers:
        wait_for(lambda worker=worker: "event=worker_ready" in stack.logs(worker))
    with report.step("six jobs of six classifiers for three workers") as step:
        jobs = []
        for number in range(6):
            stack.create(f"shared-{number}")
            jobs.append(
                stack.queue(f"shared-{number}", digits.zip([0, 1]), options={"epochs": 100})
            )
        for job in jobs:
            ended = stack.finished(job["id"])
            assert (ended["state"], ended["attempt"]) == ("succeeded", 1), ended
        taken = [stack.logs(worker).count("event=job_published") for worker in workers]
        assert min(taken) >= 1
        step.found = "taken by all three"


def test_answers_go_on_while_one_api_dies(
    scaled: httpx.Client, stack: Stack, digits: Digits, report: DeployReport
) -> None:
    stack.create("twice")
    stack.learn("twice", digits.zip([0, 1]))
    image = digits.held_out(1)

    def ask() -> httpx.Response:
        return scaled.post(
            "/v1/classifiers/twice/predict", content=image, headers={"Content-Type": "image/png"}
        )

    wait_for(lambda: ask().status_code == 200)
    with report.step("one of two API containers killed, 200 predictions through nginx") as step:
        docker("kill", stack.containers("api")[0])
        answers = [ask() for _ in range(200)]
        assert [answer.status_code for answer in answers] == [200] * 200
        assert {answer.json()["results"][0]["label"] for answer in answers} == {"1"}
        step.found = "each was answered"
    stack.up("--scale", "worker=3", "--scale", "api=2")
    assert len(stack.containers("api")) == 2


def test_events_come_through_as_they_happen(
    scaled: httpx.Client, stack: Stack, digits: Digits
) -> None:
    stack.create("streamed")
    job = stack.queue("streamed", digits.zip([0, 1]), options={"epochs": 400})["id"]
    wait_for(lambda: stack.job(job)["phase"] == "training")
    path, headers = f"/v1/jobs/{job}/events", {"Accept": "text/event-stream"}
    with scaled.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        next(line for line in lines if line.startswith("data:"))
        # Its end has not been written yet, so nothing holds the stream back until there is more.
        assert stack.job(job)["state"] == "running"
        stack.http.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        assert any("cancelled" in line for line in lines)


def test_uploads_are_not_limited_by_the_proxy(
    scaled: httpx.Client, digits: Digits, report: DeployReport, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    archive = zip_of({f"noise/{n}.png": (tmp_path / "noise.png").read_bytes() for n in range(3)})
    with report.step("a large upload through nginx") as step:
        answer = scaled.post(
            "/v1/uploads", content=archive, headers={"Content-Type": "application/zip"}
        )
        assert answer.status_code == 201, answer.text
        step.found = f"{len(archive) / 1e6:.0f} MB"
    scaled.delete(f"/v1/uploads/{answer.json()['id']}").raise_for_status()


def test_the_proxy_keeps_keys_and_what_is_inside(scaled: httpx.Client) -> None:
    assert scaled.get("/metrics").status_code == 404
    assert scaled.get("/v1/classifiers").status_code == 200
    assert scaled.get("/v1/classifiers", headers={"Authorization": ""}).status_code == 401
