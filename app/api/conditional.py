"""Answers that a client has already: ``ETag`` and ``If-None-Match``."""

from fastapi import Request, Response

from app import etags

# Headers of an answer that a 304 repeats (RFC 9110).
_KEPT = ("cache-control", "content-location", "etag", "vary")


def unless_known(request: Request, response: Response) -> Response:
    """Return 304 for an answer that the client has, else the answer."""
    tag = response.headers.get("etag")
    given = request.headers.get("if-none-match", "")
    if response.status_code != 200 or tag is None:
        return response
    if given.strip() != "*" and not etags.names(given, tag):
        return response
    kept = {name: response.headers[name] for name in _KEPT if name in response.headers}
    return Response(status_code=304, headers=kept)
