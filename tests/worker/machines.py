"""Machines with addresses of their own on one network: namespaces of this one."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

_CLONE_NEWNET = 0x40000000


class Machine:
    """A network namespace with one address, whose cable can be drawn."""

    def __init__(self, network: "Network", name: str, number: int) -> None:
        self._network = network
        self.name = f"{network.name}-{name}"
        self.address = f"10.77.0.{number}"
        self._port = f"to-{name}"
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")
        lan = network.name
        peer = ("peer", "name", "eth0", "netns", self.name)
        ip("-n", lan, "link", "add", self._port, "type", "veth", *peer)
        ip("-n", lan, "link", "set", self._port, "master", "lan", "up")
        ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")
        self._thread = ThreadPoolExecutor(1, initializer=self._enter)

    @property
    def within(self) -> list[str]:
        """The command that runs another one on this machine, which has a host name of its own."""
        rename = f'hostname {self.name}; exec "$@"'
        return ["ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c", rename, "sh"]

    def cut(self) -> None:
        ip("-n", self._network.name, "link", "set", self._port, "down")

    def join(self) -> None:
        ip("-n", self._network.name, "link", "set", self._port, "up")

    def request(self, method: str, url: str, **sent: Any) -> httpx.Response:
        """Send a request from this machine."""
        return self._thread.submit(httpx.request, method, url, timeout=60, **sent).result()

    def _enter(self) -> None:
        # A namespace is a thread's own, so only this one of the test's threads is there.
        with Path(f"/run/netns/{self.name}").open() as file:
            assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET) == 0


class Network:
    """A switch that machines are connected to."""

    def __init__(self) -> None:
        self.name = f"accrue{os.getpid()}"
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "add", "lan", "type", "bridge")
        ip("-n", self.name, "link", "set", "lan", "up")
        self._machines: list[Machine] = []

    def machine(self, name: str) -> Machine:
        self._machines.append(Machine(self, name, len(self._machines) + 1))
        return self._machines[-1]

    def remove(self) -> None:
        for name in (*(machine.name for machine in self._machines), self.name):
            ip("netns", "delete", name)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@contextmanager
def network() -> Iterator[Network]:
    """A network of the test's own."""
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    probe = f"accrue{os.getpid()}probe"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make network namespaces")
    ip("netns", "delete", probe)
    made = Network()
    try:
        yield made
    finally:
        made.remove()
