"""Where keys are off, what another site makes a browser on this machine ask is refused.

Whoever reaches the service may do everything then, and a page from anywhere reaches it through the
browser of whoever looks at it: by a form that it sends here, or by a name of its own that it lets
lead to a loopback address, under which it may also read the answers. No page has a key, so where
keys are needed none of this is.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import service_problem
from app.errors import ServiceError

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class ForeignSiteError(ServiceError, status=403, code="foreign-site"):
    """Keys are off, and the request comes from another site, or by a name of the network."""


class OwnSiteOnly:
    """Answer only what is asked by an address or a name of this machine, and by no other site.

    `own` is the name or address that the service listens on.
    """

    def __init__(self, app: ASGIApp, own: str) -> None:
        self.app = app
        self.own = own.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host, origin = headers.get("host", ""), headers.get("origin")
            if not self._is_local(host):
                detail = (
                    "Keys are off: ask by an address or localhost, or set ACCRUE_KEYS=required."
                )
            elif origin is not None and scope["method"] not in _READING and not _same(origin, host):
                detail = "Keys are off, and a page of another site asks this."
            else:
                await self.app(scope, receive, send)
                return
            await service_problem(scope, ForeignSiteError(detail))(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_local(self, host: str) -> bool:
        """Say whether a Host header is an address, or a name that no other site can have."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            # Names of sites have a dot; "localhost", and what machines call each other, have none.
            return "." not in name or name.endswith(".localhost") or name == self.own
        return True


def _same(origin: str, host: str) -> bool:
    return origin.partition("://")[2].lower() == host.lower()
