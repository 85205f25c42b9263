"""Authorization: every route names the scopes that it is open to.

    router = Router(prefix="/v1/things", tags=["things"], dependencies=[needs("train")])

    @router.delete("/{name}", dependencies=[needs("admin")])

A key meets `needs("predict", "train")` with one of the scopes; a key with `admin` meets all needs.
The needs of a router and of its route add up: a key must meet both. Public routes are in `PUBLIC`.
`check_routes` refuses an application with a route that is neither guarded nor public, so no route
is open by oversight.

FastAPI reads the body before it calls a dependency. So the route's class checks the key, and the
body of a refused request is never read.
"""

import base64
from collections.abc import Callable, Coroutine, Sequence
from inspect import iscoroutinefunction
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute, iter_route_contexts

from app.api.answer_headers import with_headers
from app.api.conditional import unless_known
from app.api.json_body import require_json
from app.api.rendering import in_thread
from app.services.access.keyring import ANYBODY, Caller, KeyRing
from app.services.access.keys import Scope

# Open to everybody, with the reading methods only.
PUBLIC = frozenset(
    {
        "/",
        "/docs",
        "/docs/{file}",
        "/health/live",
        "/health/ready",
        "/openapi.json",
        "/problems",
        "/problems/{code}",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/version",
        "/web/{path:path}",
    }
)
_READING_METHODS = frozenset({"GET", "HEAD"})

_SCHEME = "key"
SECURITY_SCHEMES: dict[str, Any] = {
    _SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "acr_…",
        "description": "Made by `accrue keys create`. A route needs one of its scopes, or `admin`. "
        "Not needed where keys are off.",
    }
}
# What most routes need; the others say what they do.
SECURITY = [{_SCHEME: ["train"]}]


class UnguardedRouteError(Exception):
    """A route neither names scopes nor is public, or does both."""


class RequiredScopes:
    """A dependency that declares the scopes of which a key must have one."""

    def __init__(self, scopes: Sequence[Scope]) -> None:
        self.scopes = tuple(scopes)

    async def __call__(self) -> None:
        """Do nothing: `GuardedRoute` has checked the key before it read the body."""


class ScopesOrTicket(RequiredScopes):
    """Scopes of a key that is sent, or that signed the ticket for the path's job in the query."""

    async def __call__(
        self,
        ticket: Annotated[
            str | None,
            Query(max_length=200, description="Instead of a key: see `/v1/jobs/{job_id}/tickets`."),
        ] = None,
    ) -> None:
        """Declare the parameter."""


class ScopesByPassword(RequiredScopes):
    """Scopes of a key that may also be sent as a password, with any user name (RFC 7617)."""


def needs(*scopes: Scope, or_ticket: bool = False, or_password: bool = False) -> Any:
    """Return an entry for the `dependencies` of a router or a route."""
    if or_ticket:
        return Depends(ScopesOrTicket(scopes))
    return Depends((ScopesByPassword if or_password else RequiredScopes)(scopes))


async def admitted(request: Request, needs: Sequence[RequiredScopes]) -> Caller:
    """Return who sent a request, by its key. Raises UnauthorizedError and MissingScopeError."""
    ring: KeyRing | None = request.app.state.keyring
    key = request.headers.get("authorization")
    if key is not None and any(isinstance(need, ScopesByPassword) for need in needs):
        key = _as_bearer(key)
    ticket = None
    if key is None and any(isinstance(need, ScopesOrTicket) for need in needs):
        ticket = request.query_params.get("ticket")
    if ring is None:
        caller = ANYBODY
    elif ticket is None:
        caller = await ring.caller(key)
    else:
        caller = await ring.ticket_holder(ticket, request.path_params["job_id"])
    for need in needs:
        caller.require(*need.scopes)
    return caller


def _as_bearer(authorization: str) -> str:
    """Return an Authorization header with the password of Basic as a key; any other as it is."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        _, _, password = base64.b64decode(encoded.strip()).decode().partition(":")
    except ValueError:  # it holds no key then
        return authorization
    return f"Bearer {password}"


class GuardedRoute(APIRoute):
    """Lets in requests with a key that has the scopes that the route's dependencies name."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        self.needs = [
            each.dependency
            for each in given.get("dependencies") or ()
            if isinstance(each, Dependency) and isinstance(each.dependency, RequiredScopes)
        ]
        if self.needs:
            _document(given, self.needs[-1])
        # Coroutines that read have little to say, and must answer where no thread is free.
        reads = set(given.get("methods") or ()) <= _READING_METHODS
        if not (reads and iscoroutinefunction(endpoint)):
            endpoint = in_thread(endpoint, given.get("status_code"), tagged=reads)
            if reads:
                given["responses"] = with_headers(given.get("responses"), 200, "ETag")
        super().__init__(path, endpoint, **given)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler behind the check of the key."""
        handle = super().get_route_handler()
        if not self.needs:
            return handle
        reads = set(self.methods or ()) <= _READING_METHODS

        async def guarded(request: Request) -> Response:
            request.state.caller = await admitted(request, self.needs)
            if self.body_field is not None:
                require_json(request)
            response = await handle(request)
            return unless_known(request, response) if reads else response

        return guarded


def _document(given: dict[str, Any], need: RequiredScopes) -> None:
    """Document in OpenAPI which key a route needs, whether or not keys are on."""
    given["openapi_extra"] = {
        **(given.get("openapi_extra") or {}),
        "security": [{_SCHEME: [scope]} for scope in need.scopes],
    }


class Router(APIRouter):
    """A router whose routes check keys."""

    def __init__(self, **given: Any) -> None:
        super().__init__(route_class=GuardedRoute, **given)


def check_routes(app: FastAPI) -> None:
    """Raise UnguardedRouteError for a route that is neither guarded nor public, or both."""
    for route in iter_route_contexts(app.routes):
        public = route.path in PUBLIC and set(route.methods or ()) <= _READING_METHODS
        original = route.original_route
        guarded = isinstance(original, GuardedRoute) and bool(original.needs)
        if public == guarded:
            name = f"{', '.join(sorted(route.methods or ()))} {route.path}"
            raise UnguardedRouteError(
                f"{name} is public and needs a key: remove it from PUBLIC, or its scopes."
                if public
                else f"{name} is open to everybody: put it on a Router of app.api.access with "
                "dependencies=[needs(…)], or add it to PUBLIC there."
            )
