"""The client of the commands: takes paths, returns JSON, and raises ClientError."""

from collections.abc import Iterable, Mapping
from typing import Any, Self, TypeVar

import httpx
from accrue_client import http_api
from accrue_client.blocking.session import Session
from accrue_client.connecting import DEFAULT_URL, Connection
from accrue_client.errors import AccrueError, NotAccrueError, ProblemError, ServerUnreachableError
from accrue_client.http_api import Api
from accrue_client.parts import files_form
from accrue_client.steps import Steps

from app.client.errors import CommandError

__all__ = ["DEFAULT_URL", "Client", "ClientError", "classifier_path"]

T = TypeVar("T")
# How long commands wait for a service that does not answer, in seconds: it may be restarting.
_PATIENCE = 300.0


def classifier_path(name: str) -> str:
    """Return the URL path of a classifier. Raises CommandError for what cannot be in a URL."""
    try:
        return http_api.classifier_path(name)
    except ValueError as error:
        raise CommandError(str(error)) from error


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
        try:
            self._connection = Connection.to(url, key)
            self._session = Session.of(self._connection, _PATIENCE)
        except AccrueError as error:
            raise ClientError(str(error)) from error
        self.url = self._session.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._session.threads.close()

    @property
    def api(self) -> Api:
        """The operations, to be `run`."""
        return self._session.api

    def run(self, steps: Steps[T]) -> T:
        """Return the result of an operation. Raises ClientError, CommandError where it fails."""
        try:
            return self._session.threads.run(steps)
        except ProblemError as error:
            raise _refused(error) from error
        except NotAccrueError as error:
            raise ClientError(self._with_proxy(str(error)), status=error.status) from error
        except ServerUnreachableError as error:
            raise self._unreachable(error) from error
        except AccrueError as error:
            raise CommandError(str(error)) from error

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON at a path."""
        return self.run(self.api.get(path, **query))

    def get_bytes(self, path: str) -> tuple[bytes, str]:
        """Return the bytes at a path, and their media type."""
        return self.run(self.api.get_bytes(path))

    def post(self, path: str, body: Any, **query: Any) -> Any:
        """Post JSON and return the JSON of the answer."""
        return self.run(self.api.post(path, body, **query))

    def put(self, path: str, body: Any) -> Any:
        """Put JSON and return the JSON of the answer."""
        return self.run(self.api.put(path, body))

    def delete(self, path: str, **query: Any) -> None:
        """Delete the resource at a path."""
        self.run(self.api.delete(path, **query))

    def post_bytes(
        self, path: str, content: bytes, headers: Mapping[str, str], **query: Any
    ) -> Any:
        """Post bytes and return the JSON of the answer."""
        return self.run(self.api.post_bytes(path, content, headers, **query))

    def predict(self, path: str, images: Iterable[bytes], **query: Any) -> Any:
        """Send images to a path that predicts them, and return the JSON of the answer."""
        form = files_form(list(images))
        steps = self.api.post_bytes(path, form.content, form.headers, repeatable=True, **query)
        return self.run(steps)

    def each(self, path: str) -> Iterable[Any]:
        """Return the items of a list, requesting page after page."""
        return self.run(self.api.pages(path))

    def _unreachable(self, error: ServerUnreachableError) -> ClientError:
        if isinstance(error.__cause__, httpx.ConnectError):
            return ClientError(
                self._with_proxy(
                    f"Nothing answers at {self.url}.",
                    "Start a server with `accrue up`, or name another with --url or ACCRUE_URL.",
                )
            )
        return ClientError(self._with_proxy(f"The request to {self.url} failed. {error}"))

    def _with_proxy(self, said: str, otherwise: str = "") -> str:
        """Add a line to a message: the proxy, which may be to blame, or else what to do."""
        proxy = self._connection.proxy
        line = otherwise if proxy is None else proxy.help
        return f"{said}\n{line}" if line else said


def _refused(error: ProblemError) -> ClientError:
    said = str(error)
    if error.code == "unauthorized":
        said += "\nPut a valid key into ACCRUE_KEY, or into a file that --key-file names."
    return ClientError(said, status=error.status, code=error.code)
