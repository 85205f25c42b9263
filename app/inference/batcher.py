"""Micro-batching (dynamic batching): a bounded queue, and as many inference threads as cores.

The batching is greedy: no image waits for others. A free thread takes the images that are queued
for one predictor, up to the batch size, so batches grow only with the load.
"""

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
class Ran:
    """A batch that has run: its outcomes, what each image waited, and the seconds of its stages."""

    outcomes: Sequence[Any]
    queue: Sequence[float]
    decode: float
    infer: float


@dataclass(slots=True)
class Answer:
    """The outcome of each image of a request (a result or an exception).

    With it are the most seconds that one of them spent in each stage.
    """

    outcomes: list[Any]
    queue: float = 0.0
    decode: float = 0.0
    infer: float = 0.0


@dataclass(eq=False, slots=True)
class _Request:
    images: Sequence[bytes]
    finish: Callable[[Any], Any]
    future: "asyncio.Future[Answer]"
    since: float
    answer: Answer = field(init=False)
    # How many images threads have taken, and how many have no outcome yet.
    taken: int = 0
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = len(self.images)
        self.answer = Answer([None] * self.left)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Images of a request that one batch takes."""

    request: _Request
    begin: int
    end: int


class Batcher:
    """Runs predictors on batches of images that arrive one by one, or many at once."""

    def __init__(
        self,
        *,
        threads: int,
        batch: int,
        capacity: int,
        on_batch: Callable[[Ran], None] = lambda _ran: None,
    ) -> None:
        """Use `threads` threads, and queue up to `capacity` images.

        `batch` is the largest batch. The event loop calls `on_batch` with each that has run.
        """
        self.capacity = capacity
        self._batch = batch
        self._on_batch = on_batch
        self._lock = threading.Condition()
        # One queue for each predictor, served in turn: a busy classifier does not starve others.
        self._queues: OrderedDict[Predictor, deque[_Request]] = OrderedDict()
        self._size = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"inference-{number}", daemon=True)
            for number in range(threads)
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
        self,
        predictor: Predictor,
        images: Sequence[bytes],
        finish: Callable[[Any], Any] = lambda result: result,
    ) -> "asyncio.Future[Answer]":
        """Queue all images of a request, or raise QueueFullError and queue none.

        The threads turn each result into an outcome by `finish`; exceptions are outcomes as they
        are.
        """
        request = _Request(images, finish, self._loop.create_future(), time.perf_counter())
        if not images:  # no image of the request is readable
            request.future.set_result(request.answer)
            return request.future
        with self._lock:
            if self._closed or self._size + len(images) > self.capacity:
                raise QueueFullError(
                    "Too many images wait for prediction; try again later.",
                    headers={"Retry-After": "1"},
                )
            self._queues.setdefault(predictor, deque()).append(request)
            self._size += len(images)
            self._lock.notify(-(-len(images) // self._batch))
        return request.future

    def _take(self) -> tuple[Predictor, list[_Piece]] | None:
        """Return the next batch; None if the batcher is closed and the queue is empty."""
        with self._lock:
            while not self._queues:
                if self._closed:
                    return None
                self._lock.wait()
            predictor, queue = self._queues.popitem(last=False)
            pieces = _next_pieces(queue, self._batch)
            if queue:
                self._queues[predictor] = queue
            self._size -= sum(piece.end - piece.begin for piece in pieces)
            return predictor, pieces

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
        predictor, pieces = taken
        begun = time.perf_counter()
        images = [
            each for piece in pieces for each in piece.request.images[piece.begin : piece.end]
        ]
        try:
            run = predictor.run(images)
        except Exception as error:
            log.exception("inference_failed", images=len(images))
            run = Run([error] * len(images), 0.0, 0.0)
        results = iter(run.outcomes)
        outcomes, queue = [], []
        for piece in pieces:
            count = piece.end - piece.begin
            outcomes += [_finished(next(results), piece.request.finish) for _ in range(count)]
            queue += [begun - piece.request.since] * count
        # Wake the event loop once for each batch, not for each image.
        ran = Ran(outcomes, queue, run.decode, run.infer)
        self._loop.call_soon_threadsafe(self._resolve, pieces, ran)
        return True

    def _resolve(self, pieces: list[_Piece], ran: Ran) -> None:
        """Hand outcomes to their requests. Runs in the event loop, so it needs no lock."""
        outcomes, queue = iter(ran.outcomes), iter(ran.queue)
        for piece in pieces:
            request, answer = piece.request, piece.request.answer
            for place in range(piece.begin, piece.end):
                answer.outcomes[place] = next(outcomes)
                answer.queue = max(answer.queue, next(queue))
            answer.decode = max(answer.decode, ran.decode)
            answer.infer = max(answer.infer, ran.infer)
            request.left -= piece.end - piece.begin
            # A client that disconnected has cancelled its future.
            if not request.left and not request.future.done():
                request.future.set_result(answer)
        self._on_batch(ran)


def _next_pieces(queue: deque[_Request], images: int) -> list[_Piece]:
    """Take up to so many images from the requests in turn, so that large ones hold up no others."""
    pieces = []
    while images and queue:
        share = -(-images // len(queue))
        request = queue.popleft()
        piece = _Piece(request, request.taken, min(request.taken + share, len(request.images)))
        request.taken = piece.end
        if piece.end < len(request.images):
            queue.append(request)
        pieces.append(piece)
        images -= piece.end - piece.begin
    return pieces


def _finished(result: Any, finish: Callable[[Any], Any]) -> Any:
    """Return the outcome of an image."""
    if isinstance(result, Exception):
        return result
    try:
        return finish(result)
    except Exception as error:
        log.exception("result_not_finished")
        return error
