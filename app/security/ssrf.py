"""SSRF guard: the service sends requests on a client's behalf to public https addresses only.

A URL is checked when a client sends it; the addresses of its host are checked each time before the
URL is used. Connections go to the checked addresses, so a name that resolves to another address a
moment later (DNS rebinding) does not get past the guard.
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from httpx import URL, InvalidURL

_MAX_LENGTH = 2048
# NAT64 gateways translate these addresses to the IPv4 address in their last 32 bits.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Clients choose the names, and a silent DNS server blocks a thread for half a minute. So these are
# not the event loop's own threads, which read keys and events. One for each concurrent delivery.
_RESOLVERS = ThreadPoolExecutor(32, "resolver")


class UrlRefusedError(ValueError):
    """The SSRF guard refuses the URL. Its text completes "the URL …", without the URL itself."""


def check_url(text: str, *, private: bool) -> URL:
    """Parse and check a URL without resolving its host.

    `private` allows any address, and plain http. Raises UrlRefusedError.
    """
    try:
        url = URL(text)
    except (InvalidURL, UnicodeError) as error:
        raise UrlRefusedError("is not a URL") from error
    schemes = ("https", "http") if private else ("https",)
    if url.scheme not in schemes:
        raise UrlRefusedError(f"must begin with {' or '.join(f'{name}://' for name in schemes)}")
    if not url.host:
        raise UrlRefusedError("has no host")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise UrlRefusedError("has an invalid port")
    if url.userinfo:
        raise UrlRefusedError("must not contain a user name or password")
    if len(text) > _MAX_LENGTH:
        raise UrlRefusedError(f"is longer than {_MAX_LENGTH} characters")
    try:
        address = ipaddress.ip_address(url.host)
    except ValueError:
        return url
    _check_address(address, private=private)
    return url


async def resolve(url: URL, *, private: bool) -> list[str]:
    """Return the addresses of a checked URL's host, in the resolver's order of preference.

    Raises UrlRefusedError if one of them is not public, and OSError if the name cannot be resolved.
    """
    look_up = partial(socket.getaddrinfo, url.raw_host, None, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, look_up)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        _check_address(ipaddress.ip_address(address), private=private)
    return addresses


def _check_address(address: IPv4Address | IPv6Address, *, private: bool) -> None:
    if not private and not is_public(address):
        raise UrlRefusedError("leads to an address that is not public")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address is on the public internet, whatever IPv6 form it is wrapped in."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)
