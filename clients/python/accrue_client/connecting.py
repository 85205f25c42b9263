"""Where the service is, and what every request to it carries."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from accrue_client.errors import AccrueError
from accrue_client.proxy import ProxyInUse
from accrue_client.steps import Call

DEFAULT_URL = "http://127.0.0.1:8000"
# In seconds. A large part of an upload is answered after every image in it has been checked.
_ANSWER_SECONDS = 600.0
_CONNECT_SECONDS = 10.0
# Pages of the service, whose address people copy.
_PAGES = ("/v1", "/docs", "/openapi.json")


@dataclass(frozen=True)
class Connection:
    """The URL of a service, a key, and the proxy between."""

    url: str
    key: str | None = field(repr=False)  # a repr gets into logs
    proxy: ProxyInUse | None

    @classmethod
    def to(cls, url: str | None, key: str | None) -> Self:
        """Take the URL and key given, else those of ACCRUE_URL and ACCRUE_KEY.

        Raises AccrueError for what is not a URL or names a proxy that cannot be used.
        """
        url = (url or os.environ.get("ACCRUE_URL") or DEFAULT_URL).rstrip("/")
        for page in _PAGES:
            url = url.removesuffix(page)
        key = (key or os.environ.get("ACCRUE_KEY") or "").strip() or None
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            # Not said by what sends the header: its message has the key in it.
            raise AccrueError("What is given as a key is not one. Keys begin with acr_.")
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise AccrueError(f"{url} is not the URL of a server: {error}.") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise AccrueError(
                f"{url} is not the URL of a server: it begins with http:// or https://."
            )
        return cls(url, key, ProxyInUse.towards(parsed))

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of an HTTP client. Raises AccrueError for a proxy that needs a package."""
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        if self.proxy is not None and self.proxy.needs_socks:
            raise AccrueError(f"A SOCKS proxy cannot be used. {self.proxy.help}")
        return {
            "base_url": self.url,
            "headers": headers,
            "proxy": None if self.proxy is None else self.proxy.proxy,
            # The proxy is chosen already. Certificates are still those of the environment.
            "trust_env": False,
            "verify": httpx.create_ssl_context(),
        }

    def request(self, call: Call) -> Mapping[str, Any]:
        """Return the arguments of a request."""
        answer = call.seconds or _ANSWER_SECONDS
        return {
            "method": call.method,
            "url": call.path,
            "params": call.params,
            "headers": call.headers,
            "content": call.content,
            "timeout": httpx.Timeout(_CONNECT_SECONDS, read=answer, write=answer),
        }
