"""Which proxy stands between the client and a server, as the environment says.

HTTP_PROXY, HTTPS_PROXY and ALL_PROXY name proxies, NO_PROXY the hosts to reach without one, in
small or capital letters. This machine is never reached through a proxy: for a proxy, 127.0.0.1 is
the machine that the proxy runs on.
"""

import ipaddress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Self
from urllib.request import getproxies, proxy_bypass

import httpx

from accrue_client.errors import AccrueError


@dataclass(frozen=True)
class ProxyInUse:
    """A proxy, the variable that names it, and the host that is reached through it."""

    proxy: httpx.Proxy
    variable: str
    host: str

    @classmethod
    def towards(cls, server: httpx.URL) -> Self | None:
        """Return the proxy for a server, None without one. Raises AccrueError for a bad one."""
        proxies = getproxies()
        scheme = server.scheme if server.scheme in proxies else "all"
        if scheme not in proxies or _is_reached_directly(server, proxies.get("no", "")):
            return None
        variable = f"{scheme.upper()}_PROXY"
        named = proxies[scheme]
        try:
            proxy = httpx.Proxy(named if "://" in named else f"http://{named}")
        except (httpx.InvalidURL, ValueError) as error:
            raise AccrueError(
                f"{variable} does not name a proxy that can be used: {error}.\n"
                f"Correct it, or set NO_PROXY={server.host} to do without."
            ) from error
        return cls(proxy, variable, server.host)

    @property
    def needs_socks(self) -> bool:
        """Whether it is a SOCKS proxy, and the package that speaks to one is not installed."""
        return self.proxy.url.scheme.startswith("socks") and find_spec("socksio") is None

    @property
    def help(self) -> str:
        """Say that the request went through the proxy, and how to go round it."""
        # Not `str(proxy)` or the variable, which may have a password in it.
        shown = self.proxy.url.copy_with(userinfo=b"")
        return (
            f"The request went through the proxy {shown}, which {self.variable} names. "
            f"To go round it, set NO_PROXY={self.host}."
        )


def _is_reached_directly(server: httpx.URL, no_proxy: str) -> bool:
    if _is_this_machine(server.host):
        return True
    where = server.host if server.port is None else f"{server.host}:{server.port}"
    return bool(proxy_bypass(where)) or _is_in_network(server.host, no_proxy)


def _is_in_network(host: str, no_proxy: str) -> bool:
    """Say whether an address is in one of the networks of NO_PROXY, such as 10.0.0.0/8."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        try:
            if address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue  # a name
    return False


def _is_this_machine(host: str) -> bool:
    """Say whether a URL's host is this machine: localhost (RFC 6761), loopback, 0.0.0.0 and ::."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified
