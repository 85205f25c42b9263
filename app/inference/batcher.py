"""Micro-batching (dynamic batching): a bounded queue, and as many inference threads as cores.

The batching is greedy: no image waits for others. A free thread takes the images that are queued
for one predictor, up to the batch size, so batches grow only with the load.
"""

import asyncio
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
import torch

from app.inference.errors import QueueFullError

log = structlog.get_logger(__name__)


class Predictor(Protocol):
    """What the threads run: takes images, and returns their outcomes in the same order."""

    def run(self, images: Sequence[bytes]) -> "Run":
        """Return a result or an exception for each image."""


@dataclass(frozen=True, slots=True)
class Run:
    """The outcomes of one batch, and the seconds of its stages."""

    outcomes: Sequence[Any]
    decode: float
    infer: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one image (a result or an exception), and the seconds of its stages."""

    outcome: Any
    queue: float
    decode: float
    infer: float


@dataclass(frozen=True, slots=True)
class _QueuedImage:
    image: bytes
    future: "asyncio.Future[Answer]"
    since: float


class Batcher:
    """Runs predictors on batches of images that arrive one by one."""

    def __init__(
        self,
        *,
        threads: int | None,
        batch: int,
        capacity: int,
        on_batch: Callable[[Sequence[Answer]], None] = lambda _answers: None,
    ) -> None:
        """Use `threads` threads (None: one per core), and queue up to `capacity` images.

        `batch` is the largest batch. The thread that ran a batch calls `on_batch` with its answers.
        """
        self.capacity = capacity
        self._batch = batch
        self._on_batch = on_batch
        self._lock = threading.Condition()
        # One queue for each predictor, served in turn: a busy classifier does not starve others.
        self._queues: OrderedDict[Predictor, deque[_QueuedImage]] = OrderedDict()
        self._size = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"inference-{number}", daemon=True)
            for number in range(threads or len(os.sched_getaffinity(0)))
        ]

    @property
    def waiting(self) -> int:
        """The number of queued images."""
        return self._size

    def start(self) -> None:
        """Start the threads. Call once, from the thread whose event loop will submit."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Graceful shutdown: refuse new images, finish the queued ones, end the threads. Blocks."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        for thread in self._threads:
            thread.join()

    def submit(
        self, predictor: Predictor, images: Sequence[bytes]
    ) -> list["asyncio.Future[Answer]"]:
        """Queue all images, or raise QueueFullError and queue none."""
        if not images:
            return []  # no image of the request is readable
        now = time.perf_counter()
        waiting = [_QueuedImage(image, self._loop.create_future(), now) for image in images]
        with self._lock:
            if self._closed or self._size + len(waiting) > self.capacity:
                raise QueueFullError(
                    "Too many images wait for prediction; try again later.",
                    headers={"Retry-After": "1"},
                )
            self._queues.setdefault(predictor, deque()).extend(waiting)
            self._size += len(waiting)
            self._lock.notify(-(-len(waiting) // self._batch))
        return [item.future for item in waiting]

    def _take(self) -> tuple[Predictor, list[_QueuedImage]] | None:
        """Return the next batch; None if the batcher is closed and the queue is empty."""
        with self._lock:
            while not self._queues:
                if self._closed:
                    return None
                self._lock.wait()
            predictor, queue = self._queues.popitem(last=False)
            batch = [queue.popleft() for _ in range(min(self._batch, len(queue)))]
            if queue:
                self._queues[predictor] = queue
            self._size -= len(batch)
            return predictor, batch

    def _work(self) -> None:
        # One intra-op thread each: on a busy machine, several wait for one another.
        torch.set_num_threads(1)
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Run the next batch; False once there is none any more."""
        # A function of its own: between two batches, a thread must not hold the last predictor,
        # whose version may have been evicted.
        if (taken := self._take()) is None:
            return False
        predictor, batch = taken
        begun = time.perf_counter()
        try:
            run = predictor.run([item.image for item in batch])
        except Exception as error:
            log.exception("inference_failed", images=len(batch))
            run = Run([error] * len(batch), 0.0, 0.0)
        answers = [
            (item.future, Answer(outcome, begun - item.since, run.decode, run.infer))
            for item, outcome in zip(batch, run.outcomes, strict=True)
        ]
        # Wake the event loop once for each batch, not for each image.
        self._loop.call_soon_threadsafe(_resolve, answers)
        self._on_batch([answer for _, answer in answers])
        return True


def _resolve(answers: list[tuple["asyncio.Future[Answer]", Answer]]) -> None:
    for future, answer in answers:
        if not future.done():  # a client that disconnected has cancelled its futures
            future.set_result(answer)
