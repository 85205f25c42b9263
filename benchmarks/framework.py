"""What a prediction costs around its network: without `PredictPath`, and with it.

The application is called as a server calls it, by 32 clients at once. Decoding and the forward are
left out, so what remains is the framework, the middleware and the hand-over to the threads. Both
ways run in turn, since what is compared is CPU time of one run.

    python -m benchmarks.framework [--requests 3200] [--rounds 5]

Prints a line and writes benchmarks/results/framework.json.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import uvloop
from fastapi import FastAPI

from app.api.predict_path import PredictPath
from app.inference.batcher import Run
from app.inference.predictor import Prediction, ServablePredictor
from app.main import create_app
from app.settings import Settings
from benchmarks import runner
from benchmarks.serving.own import published
from benchmarks.serving.workloads import CLASSES, SMALL, picture

WARM_UP = 64


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    scores = np.random.default_rng(0).normal(size=CLASSES).astype(np.float32)
    predicted = Prediction(scores, None)

    def run(_self: ServablePredictor, images: Sequence[bytes]) -> Run:
        return Run([predicted] * len(images), 0.0, 0.0)

    ServablePredictor.run = run  # type: ignore[assignment,method-assign]
    with published(SMALL) as own:
        settings = own.settings.model_copy(update={"inference_threads": 1})
        costs = uvloop.run(measure(settings, options.requests, options.rounds))
    ordinary, direct = (round(statistics.median(each), 4) for each in costs)
    result = {
        "what": f"{SMALL.clients} clients, one PNG a request, without decoding and forward",
        "ordinary_cpu_ms": ordinary,
        "direct_cpu_ms": direct,
        "ratio": round(direct / ordinary, 3),
        "rounds": options.rounds,
        "requests": options.requests,
    }
    runner.write("framework", result)
    print(
        f"around the network: {direct} ms CPU a request, through the framework {ordinary}: "
        f"ratio {result['ratio']}"
    )


async def measure(settings: Settings, requests: int, rounds: int) -> tuple[list[float], ...]:
    """Return CPU milliseconds a request of each round, through the framework and directly."""
    ordinary, direct = create_app(settings), create_app(settings)
    ordinary.user_middleware[:] = [m for m in ordinary.user_middleware if m.cls is not PredictPath]  # type: ignore[comparison-overlap]
    costs: tuple[list[float], ...] = ([], [])
    async with AsyncExitStack() as stack:
        for app in (ordinary, direct):
            await stack.enter_async_context(app.router.lifespan_context(app))
            await drive(app, WARM_UP)
        for _ in range(rounds):
            for app, each in zip((ordinary, direct), costs, strict=True):
                begun = time.process_time()
                await drive(app, requests)
                each.append((time.process_time() - begun) / requests * 1e3)
    return costs


async def drive(app: FastAPI, requests: int) -> None:
    """Send requests from as many clients as there are, one after another from each."""
    image = picture(np.random.default_rng(0))
    headers = [
        (b"host", b"127.0.0.1:8000"),
        (b"content-type", b"image/png"),
        (b"content-length", str(len(image)).encode()),
        (b"user-agent", b"bench"),
        (b"accept", b"*/*"),
    ]
    left = iter(range(requests))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": image, "more_body": False}

    async def send(message: Any) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError(f"status {message['status']}")

    async def client() -> None:
        for _ in left:
            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": "/predict",
                "raw_path": b"/predict",
                "query_string": b"",
                "root_path": "",
                "headers": headers,
                "client": ("127.0.0.1", 50000),
                "server": ("127.0.0.1", 8000),
                "state": {},
            }
            await app(scope, receive, send)

    await asyncio.gather(*(client() for _ in range(SMALL.clients)))


if __name__ == "__main__":
    main()
