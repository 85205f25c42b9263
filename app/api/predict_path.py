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
        if scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path"):
            path: str = scope["path"]
            template, name = _WITHOUT_NAME, None
            if path != _WITHOUT_NAME and (found := _NAMED.fullmatch(path)) is not None:
                template, name = _WITH_NAME, found[1]
            asked = self._known.find(template, scope["query_string"])
            if asked is not None and (name is not None or path == _WITHOUT_NAME):
                scope["route"] = self._routes[template]
                scope["predict"] = asked if name is None else Asked(name, asked.options)
                await self._predict(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _predict(scope: Scope, receive: Receive, send: Send) -> None:
    request, asked = Request(scope, receive, send), scope["predict"]
    caller = await admitted(request, scope["route"].needs)
    response = await answer(request, caller, asked.classifier, asked.options)
    await response(scope, receive, send)
