"""The image, the start, the whole loop with a key, and what the containers may not do."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.deploy.conftest import IMAGE, build
from tests.deploy.docker import ROOT, docker, inspect
from tests.deploy.report import DeployReport
from tests.deploy.stack import Stack, healthy
from tests.e2e.harness import Digits, wait_for

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(1200)]

CONTEXT = ("Dockerfile", ".dockerignore", "LICENSE", "README.md", "pyproject.toml", "uv.lock")
FOLDERS = ("app", "clients/python", "migrations", "models", "requirements", "worker")


def layers(image: str) -> list[str]:
    found: list[str] = inspect(image)["RootFS"]["Layers"]
    return found


def test_a_change_of_the_code_makes_one_small_layer_anew(
    image: str, report: DeployReport, tmp_path: Path
) -> None:
    for name in CONTEXT:
        shutil.copy(ROOT / name, tmp_path / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "app/ids.py").open("a") as file:
        file.write("# A change of the code.\n")
    changed = f"{IMAGE}-changed"
    try:
        with report.step("build again after a change of the code") as step:
            build(changed, str(tmp_path))
        assert layers(changed)[:-1] == layers(image)[:-1]
        assert layers(changed)[-1] != layers(image)[-1]
        last = docker("history", "--format", "{{.Size}}", changed).stdout.split()[0]
        step.found = f"one layer of {last} is new"
    finally:
        docker("image", "rm", changed, check=False)


def test_the_gpu_file_adds_a_gpu_to_the_workers(image: str, tmp_path: Path) -> None:
    stack = Stack(tmp_path, image, files=("docker-compose.gpu.yml",))
    worker = yaml.safe_load(stack.compose("config").stdout)["services"]["worker"]
    assert worker["environment"]["ACCRUE_DEVICE"] == "cuda"
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert worker["read_only"] is True


@pytest.mark.parametrize("missing", ["POSTGRES_PASSWORD", "REDIS_PASSWORD"])
def test_nothing_starts_without_its_secrets(image: str, tmp_path: Path, missing: str) -> None:
    stack = Stack(tmp_path, image, **{missing: ""})
    try:
        done = stack.compose("up", "-d", check=False)
        assert done.returncode != 0
        assert f"set {missing} in the file .env" in done.stderr
        assert stack.left_over() == []
    finally:
        stack.compose("down", "--volumes", check=False)


def test_the_whole_loop_with_a_key(stack: Stack, digits: Digits, report: DeployReport) -> None:
    with report.step("the whole loop: two tasks learnt, predicted, rolled back") as step:
        stack.create("loop")
        assert stack.learn("loop", digits.zip([0, 1])) == 1
        answer = stack.predict("loop", digits.held_out(0))
        assert (answer["version"], answer["results"][0]["label"]) == (1, "0")
        assert stack.learn("loop", digits.zip([2, 3])) == 2
        three = digits.held_out(3)
        assert stack.predict_by("loop", 2, three)["results"][0]["label"] == "3"
        back = {"version": 1, "expected_version": 2}
        stack.http.put("/v1/classifiers/loop/aliases/live", json=back).raise_for_status()
        assert stack.predict_by("loop", 1, three)["results"][0]["label"] in ("0", "1")
        step.found = "each answer names the version that `live` named"


def test_without_a_key_nothing_is_told(stack: Stack, digits: Digits) -> None:
    for headers in ({}, {"Authorization": "Bearer acr_" + "x" * 40}):
        http = stack.client(str(stack.http.base_url))
        http.headers = headers  # type: ignore[assignment]
        for path in ("/v1/classifiers", "/v1/jobs", "/v1/classifiers/loop/versions"):
            assert http.get(path).status_code == 401
        assert http.post("/predict", content=digits.held_out(0)).status_code == 401
        assert http.post("/v1/uploads", content=digits.zip([0])).status_code == 401
        assert http.get("/health/live").status_code == 200


def test_the_first_key_is_made_once(stack: Stack) -> None:
    said = stack.logs(stack.compose("ps", "-a", "-q", "migrate").stdout.split()[0])
    assert "/keys/admin" in said
    assert stack.key not in said
    again = stack.compose("run", "--rm", "-T", "migrate", *migrate_command()).stdout
    assert stack.admin_key() == stack.key
    assert stack.key not in again


def migrate_command() -> list[str]:
    return ["accrue keys create admin --scope admin --if-none --output /keys/admin"]


def test_the_key_of_prometheus_is_good_whatever_was_restored(stack: Stack) -> None:
    def key() -> str:
        stack.compose("run", "--rm", "-T", "--no-deps", "metrics-key")
        cat = ("--rm", "-T", "--no-deps", "--entrypoint", "cat", "metrics-key", "/keys/metrics")
        return str(stack.compose("run", *cat).stdout).strip()

    def status(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return stack.http.get("/metrics", headers=headers).status_code

    first = key()
    assert (status(first), key()) == (200, first)
    # The database of a backup knows the key, the fresh volume does not.
    rm = ("--rm", "-T", "--no-deps", "--entrypoint", "rm", "metrics-key", "/keys/metrics")
    stack.compose("run", *rm)
    second = key()
    assert (second != first, status(second)) == (True, 200)


def test_containers_may_do_little(stack: Stack, report: DeployReport) -> None:
    with report.step("what containers may do") as step:
        for service in ("api", "worker", "postgres", "redis"):
            check_limits(stack, service)
        for service in ("api", "worker"):
            check_from_within(*stack.containers(service))
        used = [f"{name} {memory(*stack.containers(name))}" for name in ("api", "worker")]
        step.found = (
            "uid 10001, no capabilities, read-only root, one published port on loopback; memory in "
            f"use: {', '.join(used)}"
        )


def check_limits(stack: Stack, service: str) -> None:
    (container,) = stack.containers(service)
    wait_for(lambda: healthy(container))
    found = inspect(container)
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["PidsLimit"] > 0
    assert host["Memory"] > 0
    assert host["Privileged"] is False
    ports = found["NetworkSettings"]["Ports"]
    published = {port: bindings for port, bindings in ports.items() if bindings}
    assert list(published) == (["8000/tcp"] if service == "api" else [])
    assert all(at["HostIp"] == "127.0.0.1" for bindings in published.values() for at in bindings)


def check_from_within(container: str) -> None:
    status = docker("exec", container, "cat", "/proc/1/status").stdout
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert fields["Uid"].split() == ["10001"] * 4
    assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert fields["NoNewPrivs"].strip() == "1"
    refused = docker("exec", container, "touch", "/opt/accrue/bin/x", check=False)
    assert "Read-only file system" in refused.stderr
    # The volume with the admin key is not theirs.
    assert docker("exec", container, "ls", "/keys").stdout == ""


def test_the_health_check_asks_no_proxy(stack: Stack) -> None:
    # Docker puts the proxies of its client's configuration into every container's environment.
    (api,) = stack.containers("api")
    check = inspect(api)["Config"]["Healthcheck"]["Test"][1:]
    docker("exec", "--env", "http_proxy=http://127.0.0.1:9", "--env", "no_proxy=", api, *check)


def memory(container: str) -> str:
    usage = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", container).stdout
    return usage.split("/")[0].strip()


def test_the_database_cannot_be_reached_from_outside_its_network(stack: Stack) -> None:
    (postgres,) = stack.containers("postgres")
    networks = inspect(postgres)["NetworkSettings"]["Networks"]
    assert [inspect(network)["Internal"] for network in networks] == [True]
