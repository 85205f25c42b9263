"""Who may ask what: every route says which scopes it is open to.

    router = Router(prefix="/v1/things", tags=["things"], dependencies=[needs("train")])

    @router.delete("/{name}", dependencies=[needs("admin")])

`needs("predict", "train")` is met by a key with one of the scopes, and always by one with `admin`.
Those of a router and of its routes add up: all must be met. What is open to everybody is in
`PUBLIC`. `check_routes` refuses an application with a route that says nothing, so none is open by
oversight.

The framework reads a body before it calls a dependency, so it is the route's class that looks at
the key, and the body of a request that is refused is never read.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute, iter_route_contexts

from app.api.problems import responses as problem_responses
from app.services.access.keyring import ANYBODY, KeyRing, MissingScopeError, UnauthorizedError
from app.services.access.keys import Scope

# Open to everybody, for reading.
PUBLIC = frozenset({"/health/live", "/health/ready", "/version", "/openapi.json", "/docs"})
_READING = frozenset({"GET", "HEAD"})

_SCHEME = "key"
SECURITY_SCHEMES: dict[str, Any] = {
    _SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "acr_…",
        "description": "Made by `accrue keys create`. Where keys are off, none is asked for.",
    }
}


class UnguardedRouteError(Exception):
    """A route has neither a scope nor a place among the public ones."""


class Needs:
    """The scopes of which a key must have one."""

    def __init__(self, scopes: Sequence[Scope]) -> None:
        self.scopes = tuple(scopes)

    async def __call__(self) -> None:
        """Do nothing: the route has asked before it read the body."""


def needs(*scopes: Scope) -> Any:
    """Return what goes into the `dependencies` of a router or a route."""
    return Depends(Needs(scopes))


class _GuardedRoute(APIRoute):
    """Lets in who has a key with the scopes that its dependencies name."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        self.needs = [
            each.dependency
            for each in given.get("dependencies") or ()
            if isinstance(each, Dependency) and isinstance(each.dependency, Needs)
        ]
        if self.needs:
            _document(given, self.needs[-1])
        super().__init__(path, endpoint, **given)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler behind a look at the key."""
        handle = super().get_route_handler()
        if not self.needs:
            return handle

        async def guarded(request: Request) -> Response:
            ring: KeyRing | None = request.app.state.keyring
            caller = ANYBODY
            if ring is not None:
                caller = await ring.caller(request.headers.get("authorization"))
            for need in self.needs:
                caller.require(*need.scopes)
            request.state.caller = caller
            return await handle(request)

        return guarded


def _document(given: dict[str, Any], need: Needs) -> None:
    """Say in OpenAPI what key a route wants, whether or not keys are on."""
    errors = problem_responses(UnauthorizedError, MissingScopeError)
    given["responses"] = {**errors, **(given.get("responses") or {})}
    scopes = dict.fromkeys((*need.scopes, "admin"))
    given["openapi_extra"] = {
        **(given.get("openapi_extra") or {}),
        "security": [{_SCHEME: [scope]} for scope in scopes],
    }


class Router(APIRouter):
    """A router whose routes look at keys."""

    def __init__(self, **given: Any) -> None:
        super().__init__(route_class=_GuardedRoute, **given)


def check_routes(app: FastAPI) -> None:
    """Raise UnguardedRouteError for a route that is neither guarded nor public."""
    for route in iter_route_contexts(app.routes):
        public = route.path in PUBLIC and set(route.methods or ()) <= _READING
        original = route.original_route
        guarded = isinstance(original, _GuardedRoute) and bool(original.needs)
        if public == guarded:
            name = f"{', '.join(sorted(route.methods or ()))} {route.path}"
            raise UnguardedRouteError(
                f"{name} is public and wants a key: decide."
                if public
                else f"{name} is open to anybody: put it on a Router of app.api.access with "
                "dependencies=[needs(…)], or into PUBLIC there."
            )
