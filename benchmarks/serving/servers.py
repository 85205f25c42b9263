"""Servers as processes: started on a free port, measured, stopped."""

import asyncio
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.serving.load import Cost, Request, measure

_END_OF_LOG = 4000


class Command(NamedTuple):
    """How a server is started."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = {}


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cost(
    command: Command,
    port: int,
    request: Request,
    requests: int,
    clients: int,
    *,
    cores: set[int] | None = None,
) -> Cost:
    """Start a server, keep it busy, and return what it cost; it may use the `cores`, or all.

    Raises RuntimeError with the end of its log.
    """
    with tempfile.TemporaryFile() as log, running(command, log.fileno()) as pid:
        if cores is not None:
            os.sched_setaffinity(pid, cores)
        try:
            return asyncio.run(measure(port, pid, request, requests, clients))
        except (RuntimeError, TimeoutError) as error:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _END_OF_LOG))
            raise RuntimeError(f"{error}\n{log.read().decode(errors='replace')}") from error


@contextmanager
def running(command: Command, log: int) -> Iterator[int]:
    """Yield the process id of a server, and end it with its descendants."""
    server = subprocess.Popen(
        command.arguments,
        env=os.environ | command.environment,
        cwd=Path(__file__).parents[2],
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield server.pid
    finally:
        tree = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        _, left = psutil.wait_procs(tree, timeout=5)
        for process in left:
            process.kill()
