"""The HTTP client: takes paths, returns JSON, and raises ClientError for problem documents."""

from collections.abc import Iterable, Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx

from app.client.errors import CommandError
from app.client.proxy import ProxyInUse
from app.logs import described

DEFAULT_URL = "http://127.0.0.1:8000"
# In seconds. A large upload is answered after every image has been checked.
_TIMEOUT = httpx.Timeout(10.0, read=600.0)


def classifier_path(name: str) -> str:
    """Return the URL path of a classifier. Raises CommandError for what cannot be in a URL."""
    if name in {"", ".", ".."} or "/" in name:
        raise CommandError(
            f"{name!r} cannot be the name of a classifier: it has letters, digits, dots, hyphens "
            "and underscores, and begins with a letter or digit."
        )
    return f"/v1/classifiers/{quote(name, safe='')}"


class ClientError(CommandError):
    """The server refused a request, or did not answer.

    `status` is that of the answer and `code` that of its problem document; None without one.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Client:
    """Sends requests, with a key, to one server. Raises ClientError unless the answer is 2xx."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        try:
            self._proxy = ProxyInUse.towards(httpx.URL(self.url))
            self._http = httpx.Client(
                base_url=self.url,
                timeout=_TIMEOUT,
                headers=headers,
                proxy=None if self._proxy is None else self._proxy.proxy,
                # The proxy is chosen already. Certificates are still those of the environment.
                trust_env=False,
                verify=httpx.create_ssl_context(),
            )
        except httpx.InvalidURL as error:
            raise ClientError(f"{url} is not the URL of a server: {error}.") from error
        except ImportError as error:
            raise ClientError(self._with_proxy("A SOCKS proxy cannot be used.")) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON at a path."""
        return self._send("GET", path, params=query)

    def get_bytes(self, path: str) -> tuple[bytes, str]:
        """Return the bytes at a path, and their media type."""
        response = self._answered("GET", path, follow_redirects=True)
        return response.content, response.headers.get("content-type", "")

    def post(self, path: str, body: Any, **query: Any) -> Any:
        """Post JSON and return the JSON of the answer."""
        return self._send("POST", path, json=body, params=query)

    def put(self, path: str, body: Any) -> Any:
        """Put JSON and return the JSON of the answer."""
        return self._send("PUT", path, json=body)

    def delete(self, path: str) -> None:
        """Delete the resource at a path."""
        self._send("DELETE", path)

    def post_bytes(
        self, path: str, content: bytes | Iterable[bytes], headers: Mapping[str, str], **query: Any
    ) -> Any:
        """Post bytes, streamed if they come in chunks, and return the JSON of the answer."""
        return self._send("POST", path, content=content, headers=headers, params=query)

    def post_files(self, path: str, files: Iterable[tuple[str, bytes]], **query: Any) -> Any:
        """Post named files as multipart ``files`` and return the JSON of the answer."""
        parts = [("files", (name, data)) for name, data in files]
        return self._send("POST", path, files=parts, params=query)

    def each(self, path: str) -> Iterable[Any]:
        """Yield the items of a list, requesting page after page."""
        after = None
        while True:
            page = self.get(path, **({} if after is None else {"after": after}))
            yield from page["data"]
            if not page["has_more"]:
                return
            after = page["next"]

    def _send(self, method: str, path: str, **arguments: Any) -> Any:
        response = self._answered(method, path, **arguments)
        return self._json(response) if response.content else None

    def _answered(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.UnsupportedProtocol as error:
            raise ClientError(f"{self.url} is not the URL of a server: {error}") from error
        except httpx.ConnectError as error:
            raise ClientError(
                self._with_proxy(
                    f"Nothing answers at {self.url}.",
                    "Start a server with `accrue up`, or name another with --url or ACCRUE_URL.",
                )
            ) from error
        except httpx.HTTPError as error:
            failed = f"The request to {self.url} failed: {described(error)}"
            raise ClientError(self._with_proxy(failed)) from error
        if response.is_success:
            return response
        raise self._error(response)

    def _with_proxy(self, said: str, otherwise: str = "") -> str:
        """Add a line to a message: the proxy, which may be to blame, or else what to do."""
        line = otherwise if self._proxy is None else self._proxy.help
        return f"{said}\n{line}" if line else said

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:  # such as the sign-in page of a proxy
            said = f"{response.request.url} did not answer with JSON, so it is not Accrue."
            raise ClientError(self._with_proxy(said), status=response.status_code) from error

    def _error(self, response: httpx.Response) -> ClientError:
        """Read a problem document. A proxy in between may answer with something else."""
        try:
            return _problem(response)
        except (ValueError, KeyError, TypeError):
            status = f"{response.status_code} {response.reason_phrase}"
            said = f"{response.request.url} answered {status}"
            return ClientError(self._with_proxy(said), status=response.status_code)


def _problem(response: httpx.Response) -> ClientError:
    """Raises ValueError, KeyError or TypeError where the answer has no problem document."""
    problem = response.json()
    lines = [f"{problem['title']}: {problem['detail']}"]
    if problem.get("code") == "unauthorized":
        lines.append("Put a valid key into ACCRUE_KEY, or into a file that --key-file names.")
    for field in problem.get("errors") or ():
        said = "" if field["detail"] == problem["detail"] else f": {field['detail']}"
        lines.append(f"  {field['pointer']}{said}")
    return ClientError("\n".join(lines), status=response.status_code, code=problem.get("code"))
