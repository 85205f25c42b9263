"""A deployment of docker-compose.yml, under a project name of its own."""

import secrets
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.deploy.docker import compose_command, docker, inspect, run
from tests.deploy.page import shown
from tests.e2e.harness import ServiceClient, wait_for

# Characters with a meaning in URLs and commands.
_AWKWARD = "p@ss/w:rd%20+"


class Stack(ServiceClient):
    """Its containers, and an HTTP client with the first admin key."""

    patience = 300

    def __init__(self, folder: Path, image: str, files: tuple[str, ...] = (), **settings: str):
        self.project = f"accrue-test-{secrets.token_hex(3)}"
        self.folder = folder
        self._files = ("docker-compose.yml", *files)
        first = two_free_ports()
        self._env = folder / "env"
        values = {
            "POSTGRES_PASSWORD": _AWKWARD + secrets.token_hex(8),
            "REDIS_PASSWORD": _AWKWARD + secrets.token_hex(8),
            "ACCRUE_IMAGE": image,
            "ACCRUE_PUBLISH_PORT": f"{first}-{first + 1}",
            "ACCRUE_TRAIN_THREADS": "1",
            "ACCRUE_INFERENCE_THREADS": "1",
            "ACCRUE_LEASE_SECONDS": "10",
            "ACCRUE_CHECKPOINT_SECONDS": "2",
            **settings,
        }
        self._env.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
        self.key = ""

    def compose(
        self, *arguments: str, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[Any]:
        command = compose_command()
        assert command is not None
        files = [word for file in self._files for word in ("-f", file)]
        project = ["--project-name", self.project, "--env-file", str(self._env)]
        return run([*command, *files, *project, *arguments], check=check, **options)

    def lay_over(self, file: str) -> None:
        """Add a file to those that the deployment is made of, from the next command on."""
        self._files += (file,)

    def peel_off(self, *services: str) -> None:
        """Remove the file that was added last, with its services."""
        self.compose("rm", "--stop", "--force", *services)
        self._files = self._files[:-1]

    def up(self, *arguments: str) -> None:
        """Start what is missing, wait until the API answers, and read the key."""
        self.compose("up", "-d", *arguments)
        if not self.key:
            self.key = self.admin_key()
        self.connect()

    def admin_key(self) -> str:
        """The first admin key, read as docs/deployment.md says, but without a terminal."""
        run, *arguments = shown("cat /keys/admin")
        return self.compose(run, "-T", *arguments).stdout.strip()

    def connect(self) -> None:
        """Find the port of the API, which may change at a start, and wait for an answer."""
        address = self.compose("port", "api", "8000").stdout.strip()
        self.http = self.client(f"http://{address}")
        wait_for(self.ready, self.patience)

    def client(self, url: str, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=url, headers=headers, timeout=60, **options)

    def ready(self) -> bool:
        try:
            return self.http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers that run."""
        return self.compose("ps", "-q", service).stdout.split()

    def wait_healthy(self, service: str) -> None:
        (container,) = self.containers(service)
        wait_for(lambda: healthy(container), self.patience)

    def logs(self, container: str) -> str:
        done = docker("logs", container)
        return done.stdout + done.stderr

    def python(self, code: str) -> str:
        """Run Python in a container of the image that reaches the database; return what it says."""
        arguments = ("--rm", "-T", "--no-deps", "--entrypoint", "python3", "migrate", "-c", code)
        return str(self.compose("run", *arguments).stdout).strip()

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")

    def left_over(self) -> list[str]:
        """Everything of this project that the engine still has."""
        label = f"label=com.docker.compose.project={self.project}"
        return [
            found
            for kind in (["ps", "-a"], ["volume", "ls"], ["network", "ls"])
            for found in docker(*kind, "-q", "--filter", label).stdout.split()
        ]


def healthy(container: str) -> bool:
    return inspect(container)["State"].get("Health", {}).get("Status") == "healthy"


def two_free_ports() -> int:
    """The first of two ports in a row that nobody listens on."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
