"""Answers predictions before routing: the framework would cost half as much as a small network.

A request comes here if its path and method are those of a prediction and its query string is known
to be valid. Everything else goes on to the routes, so what they declare is the only validation, and
their answers are the only ones to whatever is not a prediction.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import Request
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.access import GuardedRoute, admitted
from app.api.predict_queries import Asked, KnownQueries
from app.api.predicting import answer

_WITHOUT_NAME = "/predict"
_WITH_NAME = "/v1/classifiers/{name}/predict"
_NAMED = re.compile(r"/v1/classifiers/([^/]+)/predict")


class PredictPath:
    """Middleware that predicts, for requests that it need not validate."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[BaseRoute],
        known: KnownQueries,
        handlers: Mapping[Any, Any],
    ) -> None:
        """Take the routes of predictions, and the handlers of the errors that they raise."""
        self._app = app
        self._routes = {route.path: route for route in routes if isinstance(route, GuardedRoute)}
        self._known = known
        self._predict = ExceptionMiddleware(_predict, handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        found = self._find(scope)
        if found is None:
            await self._app(scope, receive, send)
            return
        template, scope["predict"] = found
        scope["route"] = self._routes[template]
        await self._predict(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[str, Asked] | None:
        """Return the template of the path and what is asked for, if that is known to be valid."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope.get("root_path"):
            return None
        path, query = scope["path"], scope["query_string"]
        if path == _WITHOUT_NAME:
            asked = self._known.find(_WITHOUT_NAME, query)
            return None if asked is None else (_WITHOUT_NAME, asked)
        if (named := _NAMED.fullmatch(path)) is None:
            return None
        asked = self._known.find(_WITH_NAME, query)
        return None if asked is None else (_WITH_NAME, Asked(named[1], asked.options))


async def _predict(scope: Scope, receive: Receive, send: Send) -> None:
    request, asked = Request(scope, receive, send), scope["predict"]
    caller = await admitted(request, scope["route"].needs)
    response = await answer(request, caller, asked.classifier, asked.options)
    await response(scope, receive, send)
