"""An S3 server in a process of its own, with its objects in memory."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import httpx

from tests.e2e.harness import wait_for

BUCKET = "accrue"
_COLOUR = re.compile(r"\x1b\[\d+m")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class S3Server:
    """moto's server on a port of its own, with one bucket. Its log has a line a request."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "s3.log"
        self._environment = os.environ | environment
        self.start()
        self.client.create_bucket(Bucket=BUCKET)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it; nothing of this machine's own is used."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @cached_property
    def client(self) -> Any:
        """A client that bypasses the store."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )

    def requests(self) -> list[str]:
        """The requests so far, such as ``PUT /accrue/…``."""
        text = _COLOUR.sub("", self.log.read_text())
        return re.findall(rf'"([A-Z]+ /{BUCKET}.* HTTP/1.1)"', text)

    def start(self) -> None:
        port = self.endpoint.rpartition(":")[2]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port],
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

        def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return httpx.get(f"{self.endpoint}/moto-api/").status_code == 200
            except httpx.TransportError:
                return False

        wait_for(answers)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Make it accept connections and never answer."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)
