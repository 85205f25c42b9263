"""Answers that a client has already: ``ETag`` and ``If-None-Match``."""

import hashlib

from fastapi import Request, Response

# Headers of an answer that a 304 repeats (RFC 9110).
_KEPT = ("cache-control", "content-location", "etag", "vary")


def weak_tag(content: bytes) -> str:
    """Return the ETag of content that may be sent in several codings."""
    return f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'


def has(request: Request, tag: str) -> bool:
    """Say whether the client has what a tag is of."""
    given = request.headers.get("if-none-match", "")
    tags = {each.strip().removeprefix("W/") for each in given.split(",")}
    return given.strip() == "*" or tag.removeprefix("W/") in tags


def unless_known(request: Request, response: Response) -> Response:
    """Return 304 for an answer that the client has, else the answer."""
    tag = response.headers.get("etag")
    if response.status_code != 200 or tag is None or not has(request, tag):
        return response
    kept = {name: response.headers[name] for name in _KEPT if name in response.headers}
    return Response(status_code=304, headers=kept)
