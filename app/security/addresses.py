"""Addresses that the service listens on."""

import ipaddress
import socket


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach the host. Raises OSError if it has no address."""
    found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    return all(ipaddress.ip_address(address).is_loopback for address in found)
