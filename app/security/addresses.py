"""Addresses of this machine: those the service listens on, and those it or its client asks."""

import ipaddress
import socket


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach the host. Raises OSError if it has no address."""
    found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    return all(ipaddress.ip_address(address).is_loopback for address in found)


def is_this_machine(host: str) -> bool:
    """Say whether a URL's host is this machine for whoever asks it, without looking up a name.

    True for localhost (RFC 6761), loopback addresses, and 0.0.0.0 and ::, which connect to them.
    """
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified
