"""Where the service listens, and how a user hears of it."""

import socket
from pathlib import Path

import httpx

from app.client.errors import CommandError
from app.security.addresses import is_loopback
from app.settings import Settings

_PROBE_SECONDS = 0.5


def require_keys_or_loopback(settings: Settings) -> None:
    """Raise CommandError if other machines could reach a service without keys."""
    host = settings.host
    try:
        allowed = settings.keys == "required" or is_loopback(host)
    except OSError as error:
        raise CommandError(
            f"{host} is not an address of this machine: {error.strerror}.\n"
            "Correct --host or ACCRUE_HOST."
        ) from error
    if not allowed:
        raise CommandError(
            f"Refusing to listen on {host}: keys are off, so anybody who can reach the service "
            "could do everything.\n"
            "Set ACCRUE_KEYS=required and create a key with `accrue keys create`, or listen on a "
            "loopback address (127.0.0.1)."
        )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises CommandError if that is not possible."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=2048)
    except OSError as error:
        raise _refused(host, port, error) from error


def bind_shared(host: str, port: int) -> socket.socket:
    """Return a socket at a port that several processes of this user listen on.

    It does not listen yet: from then on, it gets its share of the connections. Raises CommandError
    if that is not possible.
    """
    try:
        shared = socket.socket(_family(host))
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if shared.family is socket.AF_INET6:
            shared.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        shared.bind((host, port))
    except OSError as error:
        raise _refused(host, port, error) from error
    return shared


def hold_shared(host: str, port: int) -> socket.socket:
    """Return a socket that keeps a port for the processes that `bind_shared` it.

    It gets no connections. While none of them listens, another service that calls `listen` is
    refused. Raises CommandError if that is not possible.
    """
    held = bind_shared(host, port)
    # Two sockets with this option may be at a port of which neither listens.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return held


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _refused(host: str, port: int, error: OSError) -> CommandError:
    return CommandError(
        f"Cannot listen on {host} port {port}: {error.strerror}. Choose another port or address."
    )


def url_of(settings: Settings) -> str:
    """Return the URL at which this machine reaches a service with these settings."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return address(host, settings.port)


def address(host: str, port: int) -> str:
    """Return the URL of a host and port."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Announcement:
    """Prints the URL of the service once it answers."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self._url = url
        self._data_dir = data_dir
        self._made = False

    def make_once_answered(self) -> None:
        """Look whether the service answers, and print the URL when it does for the first time."""
        if self._made:
            return
        try:
            # Without the proxy of the environment, which cannot reach the loopback address.
            answer = httpx.get(f"{self._url}/health/live", timeout=_PROBE_SECONDS, trust_env=False)
            answer.raise_for_status()
        except httpx.HTTPError:
            return
        self._made = True
        print(
            f"Accrue listens on {self._url} (open it in a browser; the API: {self._url}/docs).\n"
            f"Its data is in {self._data_dir}. Ctrl-C stops it.",
            flush=True,
        )
