"""Where the service may send requests to on a client's word: public https addresses.

A URL is checked when it is given, its addresses each time when it is used. Connections are made to
the addresses that were checked, so that a name cannot mean another machine a moment later.
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from httpx import URL, InvalidURL

_MAX_LENGTH = 2048
# Gateways carry these to the IPv4 address in their last 32 bits.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Clients choose the names, and a silent resolver keeps a thread for half a minute: these are not
# the event loop's own, by which keys and events are read. One for each try there may be at once.
_RESOLVERS = ThreadPoolExecutor(32, "resolver")


class TargetRefusedError(ValueError):
    """Requests to there are not sent. Says why, without naming the URL."""


def check_url(text: str, *, private: bool) -> URL:
    """Return the URL, if by its looks it may be sent to.

    `private` allows any address, and plain http. Raises TargetRefusedError.
    """
    try:
        url = URL(text)
    except (InvalidURL, UnicodeError) as error:
        raise TargetRefusedError("is no URL") from error
    schemes = ("https", "http") if private else ("https",)
    if url.scheme not in schemes:
        raise TargetRefusedError(f"must begin with {' or '.join(f'{name}://' for name in schemes)}")
    if not url.host:
        raise TargetRefusedError("names no host")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise TargetRefusedError("names no port")
    if url.userinfo:
        raise TargetRefusedError("must hold no user name or password")
    if len(text) > _MAX_LENGTH:
        raise TargetRefusedError(f"is longer than {_MAX_LENGTH} characters")
    try:
        address = ipaddress.ip_address(url.host)
    except ValueError:
        return url
    _check_address(address, private=private)
    return url


async def resolve(url: URL, *, private: bool) -> list[str]:
    """Return the addresses of a checked URL's host, likeliest first.

    Where one of them is not public, none is used. Raises TargetRefusedError, and OSError where
    the name cannot be resolved.
    """
    look_up = partial(socket.getaddrinfo, url.raw_host, None, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, look_up)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        _check_address(ipaddress.ip_address(address), private=private)
    return addresses


def _check_address(address: IPv4Address | IPv6Address, *, private: bool) -> None:
    if not private and not is_public(address):
        raise TargetRefusedError("leads to an address that is not public")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address is some machine's on the internet, and nobody's inside."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)
