"""Keeping a server busy, and what that costs it."""

import asyncio
import statistics
import time
from typing import NamedTuple

import psutil

from benchmarks.runner import cpu_seconds, memory_of

# Seconds in which a server must answer after its start.
_STARTING = 600
# Seconds in which it may prepare itself after the first requests, such as by building engines; and
# the CPU seconds of a second below which it has done so.
_SETTLING, _IDLE = 120, 0.1


class Request(NamedTuple):
    """What is sent to a server on its port, and a text that each right answer has."""

    path: str
    media_type: str
    body: bytes
    expected: str

    def message(self) -> bytes:
        """Return the request's bytes."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {self.media_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


class Cost(NamedTuple):
    """What requests cost a server: CPU of its processes, and of its main thread; how they went."""

    cpu_ms: float
    main_thread_ms: float
    per_second: float
    p50_ms: float
    p99_ms: float
    memory: int


async def measure(port: int, pid: int, request: Request, requests: int, clients: int) -> Cost:
    """Wait until the server answers, warm it up, and measure so many requests.

    Raises RuntimeError for a wrong answer, and TimeoutError.
    """
    await _ready(port, request)
    process = psutil.Process(pid)
    warm_up = max(clients, requests // 10)
    await _drive(port, request, warm_up, clients)
    await _settled(process)
    await _drive(port, request, warm_up, clients)
    before, main, begun = cpu_seconds(process), _main_thread(process), time.perf_counter()
    latencies = await _drive(port, request, requests, clients)
    seconds, cpu = time.perf_counter() - begun, cpu_seconds(process) - before
    main = _main_thread(process) - main
    percentiles = statistics.quantiles(latencies, n=100)
    return Cost(
        cpu_ms=cpu / requests * 1e3,
        main_thread_ms=main / requests * 1e3,
        per_second=requests / seconds,
        p50_ms=percentiles[49] * 1e3,
        p99_ms=percentiles[98] * 1e3,
        memory=memory_of(process),
    )


async def _ready(port: int, request: Request) -> None:
    """Wait until the model answers."""
    deadline = time.monotonic() + _STARTING
    while True:
        try:
            await _drive(port, request, 1, 1)
        except (OSError, RuntimeError, asyncio.IncompleteReadError) as error:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"the server did not answer in {_STARTING} s: {error}"
                ) from error
            await asyncio.sleep(0.2)
        else:
            return


async def _settled(process: psutil.Process) -> None:
    """Wait until the server does nothing: what it prepares once is not what a request costs."""
    deadline = time.monotonic() + _SETTLING
    while time.monotonic() < deadline:
        before = cpu_seconds(process)
        await asyncio.sleep(1)
        if cpu_seconds(process) - before < _IDLE:
            return


async def _drive(port: int, request: Request, requests: int, clients: int) -> list[float]:
    """Send the request from keep-alive connections; return each one's seconds."""
    left = iter(range(requests))
    latencies: list[float] = []
    message, expected = request.message(), request.expected.encode()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            begun = time.perf_counter()
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
            content = await reader.readexactly(int(fields[b"content-length"]))
            latencies.append(time.perf_counter() - begun)
            if not head.startswith(b"HTTP/1.1 200") or expected not in content:
                raise RuntimeError((head + content[:1000]).decode("latin-1"))
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


def _main_thread(process: psutil.Process) -> float:
    """Return user and system seconds so far of the main thread, which may run an event loop."""
    (taken,) = [thread for thread in process.threads() if thread.id == process.pid]
    return float(taken.user_time + taken.system_time)
