"""An HTTP transport behind the SSRF guard: connections go to addresses that were checked.

So a name that resolves to another address a moment later (DNS rebinding) does not get past it.
"""

import httpx

from app.security import ssrf


class GuardedTransport(httpx.AsyncBaseTransport):
    """Connects to the first address of a host that can be reached, once all of them are checked.

    `private` is as in `app.security.ssrf`, which raises UrlRefusedError and OSError here.
    """

    def __init__(self, *, private: bool) -> None:
        self._private = private
        # No proxies of the environment: they would resolve names again, after the check. No
        # connection is used again: one for another name at the same address would be taken.
        self._inner = httpx.AsyncHTTPTransport(
            verify=httpx.create_ssl_context(),
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, whose header Host is set already."""
        url = ssrf.check_url(str(request.url), private=self._private)
        # The certificate is checked against the name.
        request.extensions["sni_hostname"] = url.raw_host.decode("ascii")
        unreachable: httpx.TransportError | None = None
        for address in await ssrf.resolve(url, private=self._private):
            request.url = url.copy_with(host=address)
            try:
                return await self._inner.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                unreachable = error
            finally:
                request.url = url
        raise unreachable or OSError("the name has no address")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()
