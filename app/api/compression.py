"""Answers in gzip for clients that ask for it.

Only whole answers of JSON and text are compressed, from a size at which it is worth it: no images,
tar files and event streams. Compression can betray a secret that stands beside what an attacker
chose (BREACH); no answer has one: keys are shown by the command line alone.
"""

import gzip
from functools import lru_cache, partial

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Below this an answer fits into one packet either way.
_LEAST_BYTES = 1400
# From this size on a thread compresses, so that other requests go on.
_THREAD_BYTES = 16_384
# Half the time of the usual level, for files that are a tenth larger.
_LEVEL = 4
_KINDS = (
    "application/json",
    "application/problem+json",
    "text/css",
    "text/html",
    "text/javascript",
    "text/plain",
)


class Compression:
    """Compresses whole answers of JSON and text where the client accepts gzip."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and compress its answer where that helps."""
        if scope["type"] != "http" or not _accepts_gzip(scope):
            await self.app(scope, receive, send)
            return
        start: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _compressible(message):
                start = message  # its length depends on the body
                return
            if start is not None:
                first, start = start, None
                body = message.get("body", b"")
                if not message.get("more_body") and len(body) >= _LEAST_BYTES:
                    message = {**message, "body": await _compressed(first, body)}
                await send(first)
            await send(message)

        await self.app(scope, receive, send_compressed)


def _accepts_gzip(scope: Scope) -> bool:
    """Say whether a client takes gzip."""
    choices = [value for name, value in scope["headers"] if name == b"accept-encoding"]
    return bool(choices) and _takes_gzip(b",".join(choices))


# Clients send few different ones, over and over.
@lru_cache(maxsize=64)
def _takes_gzip(choices: bytes) -> bool:
    """Say whether a header takes gzip: a weight of its own counts, else that of `*`."""
    taken = {}
    for choice in choices.decode("latin-1").split(","):
        coding, _, weight = choice.partition(";")
        refused = weight.replace(" ", "").lower().rstrip("0") in ("q=", "q=0.")
        taken[coding.strip().lower()] = not refused
    return taken.get("gzip", taken.get("*", False))


def _compressible(start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    kind = headers.get("content-type", "").partition(";")[0]
    if kind not in _KINDS or "content-encoding" in headers:
        return False
    headers.add_vary_header("Accept-Encoding")
    return True


async def _compressed(start: Message, body: bytes) -> bytes:
    """Return the body in gzip, and have the headers say so."""
    compress = partial(gzip.compress, body, _LEVEL, mtime=0)
    small = compress() if len(body) < _THREAD_BYTES else await run_in_threadpool(compress)
    headers = MutableHeaders(scope=start)
    headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(small))
    # Other bytes, the same content: a strong tag would be of the bytes.
    tag = headers.get("etag")
    if tag is not None and not tag.startswith("W/"):
        headers["ETag"] = f"W/{tag}"
    return small
