"""A docker client for the tests of the deployment."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# Of the shell that runs the tests; a deployment under test has its own.
_OURS = ("ACCRUE_", "POSTGRES_", "REDIS_", "COMPOSE_")


def docker(*arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a docker command; a failure shows its output."""
    return run(["docker", *arguments], check=check, **options)


def run(command: list[str], check: bool = True, **options: Any) -> subprocess.CompletedProcess[Any]:
    options = {"text": True, "encoding": "utf-8"} | options
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, **options
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout!r} {done.stderr!r}"
    return done


def inspect(name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker("inspect", name).stdout)
    return found[0]


def compose_command() -> list[str] | None:
    """Docker Compose v2, else docker-compose 1.29, else None."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and run([*command, "version"], check=False).returncode == 0:
            return command
    return None


def what_is_missing() -> str | None:
    """Return why nothing can be deployed here; None if it can."""
    if shutil.which("docker") is None:
        return "the docker client is not installed"
    if docker("info", check=False).returncode != 0:
        return "no Docker engine answers (is DOCKER_HOST right?)"
    if compose_command() is None:
        return "neither Docker Compose v2 nor docker-compose is installed"
    return None
