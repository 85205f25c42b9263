"""Who can reach an address of this machine."""

import ipaddress
import socket


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches what listens there. Raises OSError for no address."""
    found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    return all(ipaddress.ip_address(address).is_loopback for address in found)
