"""Runs operations: `Threads` in the calling thread, `Tasks` with asyncio."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from accrue_client.connecting import Connection
from accrue_client.steps import Call, FileBody, Pause, Steps, Work

T = TypeVar("T")


class Threads:
    """Blocks the calling thread until an operation has ended."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._http = httpx.Client(**connection.arguments)

    def run(self, steps: Steps[T]) -> T:
        """Return the result of an operation, or raise what it raises."""
        answer: Any = None
        error: Exception | None = None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as ended:
                result: T = ended.value
                return result
            answer, error = None, None
            match step:
                case Pause(seconds):
                    time.sleep(seconds)
                case Work(function):
                    try:
                        answer = function()
                    except Exception as failed:
                        error = failed
                case Call():
                    try:
                        answer = self._send(step)
                    except httpx.RequestError as failed:
                        error = failed

    def each(self, many: Iterable[Steps[T]], at_once: int) -> Iterator[T]:
        """Yield the results of many operations in their order, `at_once` under way."""
        with ThreadPoolExecutor(at_once, "accrue-client") as pool:
            ahead: deque[Future[T]] = deque()
            try:
                for steps in many:
                    ahead.append(pool.submit(self.run, steps))
                    if len(ahead) == at_once:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(self, call: Call) -> httpx.Response:
        request = self._http.build_request(**self._connection.request(call))
        response = self._http.send(
            request, stream=call.to is not None, follow_redirects=_may_follow(call)
        )
        if call.to is not None:
            try:
                if not response.is_success:
                    response.read()
                else:
                    with call.to.open("wb") as file:
                        for chunk in response.iter_bytes():
                            file.write(chunk)
            finally:
                response.close()
        return response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class Tasks:
    """Awaits operations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._http = httpx.AsyncClient(**connection.arguments)

    async def run(self, steps: Steps[T]) -> T:
        """Return the result of an operation, or raise what it raises."""
        answer: Any = None
        error: Exception | None = None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as ended:
                result: T = ended.value
                return result
            answer, error = None, None
            match step:
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Work(function):
                    try:
                        answer = await asyncio.to_thread(function)
                    except Exception as failed:
                        error = failed
                case Call():
                    try:
                        answer = await self._send(step)
                    except httpx.RequestError as failed:
                        error = failed

    async def each(self, many: Iterable[Steps[T]], at_once: int) -> AsyncIterator[T]:
        """Yield the results of many operations in their order, `at_once` under way."""
        ahead: deque[asyncio.Task[T]] = deque()
        try:
            for steps in many:
                ahead.append(asyncio.create_task(self.run(steps)))
                if len(ahead) == at_once:
                    yield await ahead.popleft()
            while ahead:
                yield await ahead.popleft()
        finally:
            for task in ahead:
                task.cancel()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, call: Call) -> httpx.Response:
        arguments = dict(self._connection.request(call))
        if isinstance(call.content, FileBody):
            arguments["content"] = _chunks(call.content)
        request = self._http.build_request(**arguments)
        response = await self._http.send(
            request, stream=call.to is not None, follow_redirects=_may_follow(call)
        )
        if call.to is not None:
            try:
                if not response.is_success:
                    await response.aread()
                else:
                    with call.to.open("wb") as file:
                        async for chunk in response.aiter_bytes():
                            file.write(chunk)
            finally:
                await response.aclose()
        return response


async def _chunks(body: FileBody) -> AsyncIterator[bytes]:
    """Yield the chunks of a file, read in a thread."""
    chunks = iter(body)
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk


def _may_follow(call: Call) -> bool:
    """Say whether a redirect is followed: most make a GET of other methods, which does nothing."""
    return call.method == "GET"
