"""The batcher: greedy, bounded, and it loses nothing."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from app.inference.batcher import Batcher, Run
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


def test_what_waits_is_taken_together() -> None:
    async def scenario() -> list[int]:
        batcher, predictor = await started(), Recorder()
        predictor.free.clear()
        futures = batcher.submit(predictor, [b"first"])
        await asyncio.to_thread(predictor.entered.wait, 30)
        for number in range(6):
            futures += batcher.submit(predictor, [bytes([number])])
        predictor.free.set()
        answers = await asyncio.gather(*futures)
        assert [answer.outcome for answer in answers[1:]] == [bytes([n]) for n in range(6)]
        await asyncio.to_thread(batcher.close)
        return predictor.batches

    assert asyncio.run(scenario()) == [1, 4, 2]


def test_no_images_are_no_batch() -> None:
    async def scenario() -> list[int]:
        batcher, predictor = await started(), Recorder()
        assert batcher.submit(predictor, []) == []
        await asyncio.gather(*batcher.submit(predictor, [b"one"]))
        await asyncio.to_thread(batcher.close)
        return predictor.batches

    assert asyncio.run(scenario()) == [1]


def test_full_queue_refuses_whole_requests() -> None:
    async def scenario() -> None:
        batcher, predictor = await started(capacity=3), Recorder()
        predictor.free.clear()
        futures = batcher.submit(predictor, [b"running"])
        await asyncio.to_thread(predictor.entered.wait, 30)
        futures += batcher.submit(predictor, [b"1", b"2"])
        with pytest.raises(QueueFullError) as full:
            batcher.submit(predictor, [b"3", b"4"])
        assert full.value.headers == {"Retry-After": "1"}
        futures += batcher.submit(predictor, [b"3"])
        predictor.free.set()
        answers = await asyncio.gather(*futures)
        assert [answer.outcome for answer in answers] == [b"running", b"1", b"2", b"3"]
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())


def test_predictors_take_turns() -> None:
    async def scenario() -> list[bytes]:
        order: list[bytes] = []
        batcher, busy, other = await started(batch=1), Recorder(order), Recorder(order)
        busy.free.clear()
        futures = batcher.submit(busy, [b"a", b"b", b"c"])
        await asyncio.to_thread(busy.entered.wait, 30)
        futures += batcher.submit(other, [b"x"])
        busy.free.set()
        await asyncio.gather(*futures)
        await asyncio.to_thread(batcher.close)
        return order

    # It did not have to wait for all that was queued before it.
    assert asyncio.run(scenario()) == [b"a", b"b", b"x", b"c"]


def test_closing_finishes_what_was_accepted() -> None:
    async def scenario() -> None:
        batcher, predictor = await started(), Recorder()
        predictor.free.clear()
        futures = batcher.submit(predictor, [bytes([n]) for n in range(20)])
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        await asyncio.to_thread(predictor.entered.wait, 30)
        predictor.free.set()
        await closing
        answers = await asyncio.gather(*futures)
        assert [answer.outcome for answer in answers] == [bytes([n]) for n in range(20)]
        with pytest.raises(QueueFullError):
            batcher.submit(predictor, [b"late"])

    asyncio.run(scenario())


def test_a_failing_batch_fails_no_other() -> None:
    async def scenario() -> None:
        batcher, predictor = await started(), Recorder()
        (failed,) = await asyncio.gather(*batcher.submit(predictor, [b"fail"]))
        assert isinstance(failed.outcome, RuntimeError)
        (fine,) = await asyncio.gather(*batcher.submit(predictor, [b"fine"]))
        assert fine.outcome == b"fine"
        await asyncio.to_thread(batcher.close)

    asyncio.run(scenario())
