"""Requests become batches: a bounded queue and as many inference threads as cores.

Greedy: nothing waits for company. A thread that frees takes what is queued for one predictor, up to
the batch size, so that batches grow only as fast as the load does.
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
    """What the threads run: many images in, one outcome for each out, in order."""

    def run(self, images: Sequence[bytes]) -> "Run":
        """Return a result or an exception for each image."""


@dataclass(frozen=True, slots=True)
class Run:
    """Outcomes of one batch and where its seconds went."""

    outcomes: Sequence[Any]
    decode: float
    infer: float


@dataclass(frozen=True, slots=True)
class Answer:
    """One image's outcome (a result or the exception that it met) and its seconds."""

    outcome: Any
    queue: float
    decode: float
    infer: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    image: bytes
    future: "asyncio.Future[Answer]"
    since: float


class Batcher:
    """Runs predictors on images that come one by one."""

    def __init__(
        self,
        *,
        threads: int | None,
        batch: int,
        capacity: int,
        on_batch: Callable[[Sequence[Answer]], None] = lambda _answers: None,
    ) -> None:
        """Take `threads` (one per core if None), images a `batch`, and `capacity` in the queue.

        `on_batch` is called with the answers of each batch, by the thread that ran it.
        """
        self.capacity = capacity
        self._batch = batch
        self._on_batch = on_batch
        self._lock = threading.Condition()
        # One line a predictor, served in turn: a busy classifier does not starve the others.
        self._lines: OrderedDict[Predictor, deque[_Waiting]] = OrderedDict()
        self._size = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"inference-{number}", daemon=True)
            for number in range(threads or len(os.sched_getaffinity(0)))
        ]

    @property
    def waiting(self) -> int:
        """How many images wait for a batch."""
        return self._size

    def start(self) -> None:
        """Start the threads. Call once, from the thread whose event loop will submit."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Take no more images, finish those accepted, and end the threads. Blocks."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        for thread in self._threads:
            thread.join()

    def submit(
        self, predictor: Predictor, images: Sequence[bytes]
    ) -> list["asyncio.Future[Answer]"]:
        """Queue all the images, or none of them: raises QueueFullError."""
        if not images:
            return []  # of a request, say, whose images are all unreadable
        now = time.perf_counter()
        waiting = [_Waiting(image, self._loop.create_future(), now) for image in images]
        with self._lock:
            if self._closed or self._size + len(waiting) > self.capacity:
                raise QueueFullError(
                    "Too many images wait for prediction.", headers={"Retry-After": "1"}
                )
            self._lines.setdefault(predictor, deque()).extend(waiting)
            self._size += len(waiting)
            self._lock.notify(-(-len(waiting) // self._batch))
        return [item.future for item in waiting]

    def _take(self) -> tuple[Predictor, list[_Waiting]] | None:
        """Return the next batch; None once closed and empty."""
        with self._lock:
            while not self._lines:
                if self._closed:
                    return None
                self._lock.wait()
            predictor, line = self._lines.popitem(last=False)
            batch = [line.popleft() for _ in range(min(self._batch, len(line)))]
            if line:
                self._lines[predictor] = line
            self._size -= len(batch)
            return predictor, batch

    def _work(self) -> None:
        # One intra-op thread each: several on a busy machine wait for one another.
        torch.set_num_threads(1)
        while (taken := self._take()) is not None:
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
            # One wake-up of the event loop a batch, not one an image.
            self._loop.call_soon_threadsafe(_resolve, answers)
            self._on_batch([answer for _, answer in answers])


def _resolve(answers: list[tuple["asyncio.Future[Answer]", Answer]]) -> None:
    for future, answer in answers:
        if not future.done():  # a client that left has cancelled its own
            future.set_result(answer)
