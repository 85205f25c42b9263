"""Requests of JSON, as operations."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx

from accrue_client.errors import InvalidSourceError
from accrue_client.retrying import Retrying, not_accrue
from accrue_client.steps import Call, FileBody, Steps, work
from accrue_client.views import Page

_JSON = {"Content-Type": "application/json"}


def classifier_path(name: str) -> str:
    """Return the URL path of a classifier. Raises ValueError for what cannot be in a URL."""
    if name in {"", ".", ".."} or "/" in name:
        raise InvalidSourceError(
            f"{name!r} cannot be the name of a classifier: it has letters, digits, dots, hyphens "
            "and underscores, and begins with a letter or digit."
        )
    return f"/v1/classifiers/{quote(name, safe='')}"


class Api:
    """The HTTP interface of one service. Query parameters that are None are left out."""

    def __init__(self, retrying: Retrying) -> None:
        self._retrying = retrying

    def get(self, path: str, **query: Any) -> Steps[Any]:
        """Return the JSON at a path."""
        return _json((yield from self._send("GET", path, query)))

    def watch(
        self,
        path: str,
        seen: str | None,
        wait: float,
        until: str = "changed",
        within: float | None = None,
    ) -> Steps[tuple[Any, str | None]]:
        """Return the JSON at a path and its ETag, once that differs from the one seen.

        After `wait` seconds without a change the JSON is None. `until` is as for jobs. A service
        that does not answer is waited for `within` seconds at most.
        """
        headers = {} if seen is None else {"If-None-Match": seen}
        response = yield from self._send(
            "GET",
            path,
            {"wait": wait, "until": until},
            headers=headers,
            seconds=wait + 30,
            within=within,
        )
        if response.status_code == httpx.codes.NOT_MODIFIED:
            return None, seen
        return _json(response), response.headers.get("etag")

    def get_bytes(self, path: str) -> Steps[tuple[bytes, str]]:
        """Return the bytes at a path, and their media type."""
        response = yield from self._send("GET", path, {})
        return response.content, response.headers.get("content-type", "")

    def save(self, path: str, to: Path, **query: Any) -> Steps[None]:
        """Write what is at a path into a file, which is there whole or not at all."""
        part = to.with_name(f"{to.name}.part")
        try:
            yield from self._send("GET", path, query, to=part)
            yield from work(lambda: part.replace(to))
        finally:
            part.unlink(missing_ok=True)

    def pages(self, path: str, **query: Any) -> Steps[list[Any]]:
        """Return all items of a list, requesting page after page."""
        items: list[Any] = []
        while True:
            page = Page.of((yield from self.get(path, **query)))
            items += page.data
            if not page.has_more:
                return items
            query["after"] = page.next

    def post(self, path: str, body: Any = None, **query: Any) -> Steps[Any]:
        """Post JSON and return the JSON of the answer."""
        return (yield from self._changed("POST", path, body, query))

    def put(self, path: str, body: Any) -> Steps[Any]:
        """Put JSON and return the JSON of the answer."""
        return (yield from self._changed("PUT", path, body, {}))

    def patch(self, path: str, body: Any) -> Steps[Any]:
        """Change what is at a path, and return the JSON of the answer."""
        return (yield from self._changed("PATCH", path, body, {}))

    def delete(self, path: str, **query: Any) -> Steps[None]:
        """Delete what is at a path."""
        yield from self._send("DELETE", path, query)

    def post_bytes(
        self,
        path: str,
        content: bytes | FileBody,
        headers: Mapping[str, str],
        *,
        repeatable: bool = False,
        **query: Any,
    ) -> Steps[Any]:
        """Post bytes and return the JSON of the answer. `repeatable`: they change nothing."""
        response = yield from self._send(
            "POST", path, query, headers=headers, content=content, repeatable=repeatable
        )
        return _json(response)

    def _changed(self, method: str, path: str, body: Any, query: Mapping[str, Any]) -> Steps[Any]:
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else _JSON
        response = yield from self._send(method, path, query, headers=headers, content=content)
        return _json(response) if response.content else None

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | FileBody | None = None,
        seconds: float | None = None,
        to: Path | None = None,
        repeatable: bool = False,
        within: float | None = None,
    ) -> Steps[httpx.Response]:
        _require_plain(path)
        given = {key: _text(value) for key, value in query.items() if value is not None}
        call = Call(method, path, given, headers or {}, content, seconds, to)
        return (yield from self._retrying.send(call, repeatable=repeatable, within=within))


def _require_plain(path: str) -> None:
    """Raise InvalidSourceError for a path that names something else once it is normalised.

    An alias such as ``..`` would make the path of an alias that of its classifier.
    """
    parts = [unquote(part) for part in path.split("/")]
    if any(part in {".", ".."} for part in parts) or "?" in path or "#" in path:
        raise InvalidSourceError(
            f"{path} cannot be asked for: no name, id or alias is . or .., or has ? or #."
        )


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:  # such as the sign-in page of a proxy
        raise not_accrue(response) from error
