"""Headers of answers, as OpenAPI documents them: once, under `components`."""

from collections.abc import Mapping
from typing import Any


def _header(kind: str, description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


HEADERS = {
    "ETag": _header("string", "Sent as `If-None-Match`: 304 while nothing has changed."),
    "Location": _header("string", "The address of what was made."),
    "RateLimit-Limit": _header("integer", "Images that the key may predict at once."),
    "RateLimit-Remaining": _header("integer", "How many of these are left."),
    "RateLimit-Reset": _header("integer", "In how many seconds all are there again."),
    "Retry-After": _header("integer", "Seconds to wait before the next request."),
    "Server-Timing": _header("string", "Milliseconds in the stages queue, decode and infer."),
    "WWW-Authenticate": _header("string", "With 401: `Bearer`, and `error` if a key is not good."),
}
RATE_LIMIT = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


def with_headers(
    responses: Mapping[int | str, dict[str, Any]] | None, status: int | str, *names: str
) -> dict[int | str, dict[str, Any]]:
    """Return responses of a route in which the answer of that status has these headers too."""
    answer = (responses or {}).get(status, {})
    added = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return {**(responses or {}), status: {**answer, "headers": answer.get("headers", {}) | added}}
