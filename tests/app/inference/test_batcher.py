"""The batcher: greedy, bounded, and it loses nothing."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from app.inference.batcher import Answer, Batcher, Run
from app.inference.errors import QueueFullError


class Recorder:
    """A predictor that answers with the image itself, and can be held up."""

    def __init__(self, order: list[bytes] | None = None) -> None:
        self.batches: list[int] = []
        self.order = [] if order is None else order
        self.entered = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def run(self, images: Sequence[bytes]) -> Run:
        self.entered.set()
        self.free.wait(30)
        self.batches.append(len(images))
        self.order += images
        if b"fail" in images:
            raise RuntimeError("this batch cannot be run")
        return Run(list(images), 0.0, 0.0)


async def started(*, batch: int = 4, capacity: int = 100) -> Batcher:
    batcher = Batcher(threads=1, batch=batch, capacity=capacity)
    batcher.start()
    return batcher


async def outcomes(*futures: "asyncio.Future[Answer]") -> list[Any]:
    """Wait for requests, and return all their outcomes."""
    return [outcome for answer in await asyncio.gather(*futures) for outcome in answer.outcomes]


def test_what_waits_is_taken_together() -> None:
    async def scenario() -> list[int]:
        batcher, predictor = await started(), Recorder()
        predictor.free.clear()
        futures = [batcher.submit(predictor, [b"first"])]
        await asyncio.to_thread(predictor.entered.wait, 30)
        futures += [batcher.submit(predictor, [bytes([number])]) for number in range(6)]
        predictor.free.set()
        assert (await outcomes(*futures))[1:] == [bytes([n]) for n in range(6)]
        await asyncio.to_thread(batcher.close)
        return predictor.batches

    assert asyncio.run(scenario()) == [1, 4, 2]


def test_no_images_are_no_batch() -> None:
    async def scenario() -> list[int]:
        batcher, predictor = await started(), Recorder()
        assert await outcomes(batcher.submit(predictor, [])) == []
        await batcher.submit(predictor, [b"one"])
        await asyncio.to_thread(batcher.close)
        return predictor.batches

    assert asyncio.run(scenario()) == [1]


def test_full_queue_refuses_whole_requests() -> None:
    async def scenario() -> None:
        batcher, predictor = await started(capacity=3), Recorder()
        predictor.free.clear()
        futures = [batcher.submit(predictor, [b"running"])]
        await asyncio.to_thread(predictor.entered.wait, 30)
        futures.append(batcher.submit(predictor, [b"1", b"2"]))
        with pytest.raises(QueueFullError) as full:
            batcher.submit(predictor, [b"3", b"4"])
        assert full.value.headers == {"Retry-After": "1"}
        futures.append(batcher.submit(predictor, [b"3"]))
        predictor.free.set()
        assert await outcomes(*futures) == [b"running", b"1", b"2", b"3"]
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())


def test_predictors_take_turns() -> None:
    async def scenario() -> list[bytes]:
        order: list[bytes] = []
        batcher, busy, other = await started(batch=1), Recorder(order), Recorder(order)
        busy.free.clear()
        futures = [batcher.submit(busy, [b"a", b"b", b"c"])]
        await asyncio.to_thread(busy.entered.wait, 30)
        futures.append(batcher.submit(other, [b"x"]))
        busy.free.set()
        await outcomes(*futures)
        await asyncio.to_thread(batcher.close)
        return order

    # It did not have to wait for all that was queued before it.
    assert asyncio.run(scenario()) == [b"a", b"b", b"x", b"c"]


def test_requests_for_one_predictor_take_turns() -> None:
    async def scenario() -> tuple[list[int], list[bytes]]:
        batcher, predictor = await started(), Recorder()
        predictor.free.clear()
        large = batcher.submit(predictor, [b"%d" % number for number in range(20)])
        await asyncio.to_thread(predictor.entered.wait, 30)
        small = [batcher.submit(predictor, [each]) for each in (b"x", b"y")]
        predictor.free.set()
        assert await outcomes(*small) == [b"x", b"y"]
        assert await outcomes(large) == [b"%d" % number for number in range(20)]
        await asyncio.to_thread(batcher.close)
        return predictor.batches, predictor.order

    batches, order = asyncio.run(scenario())
    assert batches == [4] * 5 + [2]
    # The batch that ran when they came, and then one with both.
    assert set(order[4:8]) == {b"4", b"5", b"x", b"y"}


def test_a_large_request_is_shared_by_all_threads() -> None:
    async def scenario() -> set[int]:
        batcher, predictor = Batcher(threads=2, batch=4, capacity=100), Recorder()
        batcher.start()
        both = threading.Barrier(2, timeout=30)
        threads: set[int] = set()

        def run(images: Sequence[bytes]) -> Run:
            threads.add(threading.get_ident())
            both.wait()  # until the other thread has a batch of it too
            return Run(list(images), 0.0, 0.0)

        predictor.run = run  # type: ignore[method-assign]
        images = [b"%d" % number for number in range(8)]
        assert await outcomes(batcher.submit(predictor, images)) == images
        await asyncio.to_thread(batcher.close)
        return threads

    assert len(asyncio.run(scenario())) == 2


def test_results_are_finished_and_exceptions_are_not() -> None:
    def finish(result: bytes) -> str:
        if result == b"odd":
            raise ValueError("odd")
        return result.decode()

    async def scenario() -> list[Any]:
        batcher, predictor = await started(), Recorder()
        error = RuntimeError("unreadable")
        predictor.run = lambda images: Run([error, *images[1:]], 0.1, 0.2)  # type: ignore[method-assign]
        answer = await batcher.submit(predictor, [b"a", b"b", b"odd"], finish)
        assert (answer.decode, answer.infer) == (0.1, 0.2)
        assert answer.queue > 0
        await asyncio.to_thread(batcher.close)
        assert answer.outcomes[0] is error
        return answer.outcomes

    _, fine, odd = asyncio.run(scenario())
    assert fine == "b"
    assert isinstance(odd, ValueError)


def test_closing_finishes_what_was_accepted() -> None:
    async def scenario() -> None:
        batcher, predictor = await started(), Recorder()
        predictor.free.clear()
        future = batcher.submit(predictor, [bytes([n]) for n in range(20)])
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await asyncio.to_thread(predictor.entered.wait, 30)
        predictor.free.set()
        await closing
        assert await outcomes(future) == [bytes([n]) for n in range(20)]
        with pytest.raises(QueueFullError):
            batcher.submit(predictor, [b"late"])

    asyncio.run(scenario())


def test_a_failing_batch_fails_no_other() -> None:
    async def scenario() -> None:
        batcher, predictor = await started(), Recorder()
        (failed,) = await outcomes(batcher.submit(predictor, [b"fail"]))
        assert isinstance(failed, RuntimeError)
        assert await outcomes(batcher.submit(predictor, [b"fine"])) == [b"fine"]
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())
