"""Query parameters without a value count as not given: forms and templates send them so."""

from starlette.types import ASGIApp, Receive, Scope, Send


class EmptyParameters:
    """Middleware that leaves them out, but not of a DELETE: without them it may delete more."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        if scope["type"] == "http" and scope["method"] != "DELETE":
            query: bytes = scope["query_string"]
            if b"=&" in query or query.endswith(b"="):
                # In place: others look for the route in the same scope.
                given = (each for each in query.split(b"&") if not _is_empty(each))
                scope["query_string"] = b"&".join(given)
        await self.app(scope, receive, send)


def _is_empty(parameter: bytes) -> bool:
    # Values may end with an equals sign, such as base64.
    return parameter.endswith(b"=") and parameter.count(b"=") == 1
