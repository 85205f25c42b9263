"""CSRF and DNS rebinding guard of a service without keys.

With keys off, anybody who reaches the service may do everything, and any web page reaches it
through the browser of a user on this machine. CSRF: the page sends a form to the service. DNS
rebinding: the page lets a name of its own resolve to a loopback address; then it may also read the
answers. No page has a key, so a service that requires keys needs no such guard.
"""

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import service_problem
from app.api.raw_headers import first
from app.errors import ServiceError

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class ForeignSiteError(ServiceError, status=403, code="foreign-site"):
    """Keys are off, and the request comes from another site, or by a name of the network."""


class CsrfGuard:
    """Middleware that refuses requests by names of other sites, and writes from their pages.

    `own_name` is the name or address that the service listens on. Pages of the origins that are
    allowed may write.
    """

    def __init__(self, app: ASGIApp, own_name: str, allowed: Collection[str] = ()) -> None:
        self.app = app
        self.own_name = own_name.lower()
        self.allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await service_problem(scope, ForeignSiteError(refusal))(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        """Return why a request is refused, None if it is not."""
        host, origin = first(scope, b"host") or "", first(scope, b"origin")
        if not _is_local(host, self.own_name):  # DNS rebinding
            return (
                "Keys are off: use an address or localhost in the URL, or set ACCRUE_KEYS=required."
            )
        own_page = origin is None or origin.partition("://")[2].lower() == host.lower()
        if scope["method"] not in _SAFE_METHODS and not own_page and origin not in self.allowed:
            return (
                "Keys are off, and this request comes from a page of another site. "
                "ACCRUE_CORS_ORIGINS lists the sites that may send it."
            )
        return None


@lru_cache(maxsize=64)
def _is_local(host: str, own_name: str) -> bool:
    """Say whether a Host header is an address, or a name that no other site can have."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        # Names of sites have a dot; localhost and the names of a local network have none.
        return "." not in name or name.endswith(".localhost") or name == own_name
    return True
