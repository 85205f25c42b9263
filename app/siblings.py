"""API processes behind one port ask one another, over sockets in a folder of their own.

Which of them gets a request is chance. So what one of them counts, limits or serves has to be known
to the others.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

# How long an answer may take, unless the question says otherwise.
_SECONDS = 2.0
# The first byte of an answer: without it there was none.
_ANSWERED = b"+"

Handler = Callable[[bytes], Awaitable[bytes]]

log = structlog.get_logger(__name__)


class Siblings:
    """One process's place among `count`. By itself it has nobody to ask, and needs no folder."""

    def __init__(self, folder: Path | None = None, place: int = 0, count: int = 1) -> None:
        """Take the folder that only these processes can enter."""
        self.place = place
        self.count = count
        self._folder = folder
        self._handlers: Mapping[str, Handler] = {}
        self._server: asyncio.Server | None = None

    @property
    def others(self) -> list[int]:
        """The places of the other processes."""
        return [place for place in range(self.count) if place != self.place]

    async def start(self, handlers: Mapping[str, Handler]) -> None:
        """Answer what the others ask, by its name."""
        self._handlers = handlers
        if self.others:
            path = self._path(self.place)
            path.unlink(missing_ok=True)  # of the process before, which may have been killed
            self._server = await asyncio.start_unix_server(self._answer, path)

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
            self._path(self.place).unlink(missing_ok=True)

    async def ask(
        self, what: str, content: bytes = b"", seconds: float = _SECONDS
    ) -> dict[int, bytes | None]:
        """Ask all others at once; None stands for one that does not answer within the seconds."""
        answers = [self._ask(place, what, content, seconds) for place in self.others]
        return dict(zip(self.others, await asyncio.gather(*answers), strict=True))

    async def _ask(self, place: int, what: str, content: bytes, seconds: float) -> bytes | None:
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(self._path(place))
                with contextlib.closing(writer):
                    writer.write(json.dumps(what).encode() + b"\n" + content)
                    writer.write_eof()
                    answer = await reader.read()
        except (OSError, TimeoutError) as error:  # it starts, ends or hangs
            log.debug("sibling_away", place=place, what=what, error=error)
            return None
        return answer.removeprefix(_ANSWERED) if answer.startswith(_ANSWERED) else None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                what = json.loads(await reader.readline())
                writer.write(_ANSWERED + await self._handlers[what](await reader.read()))
                await writer.drain()
            except ConnectionError:  # the other one waits no more
                pass
            except Exception:
                log.exception("sibling_not_answered")

    def _path(self, place: int) -> Path:
        assert self._folder is not None  # noqa: S101 - several processes have one
        return self._folder / f"{place}.sock"
