"""A Label Studio server: its projects and annotations, and the images of its tasks."""

import asyncio
import base64
import binascii
import time
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import httpx
import structlog
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.errors import ServiceError
from app.logs import described
from app.security.guarded_transport import GuardedTransport
from app.security.ssrf import UrlRefusedError
from app.services.label_studio.annotations import AnnotatedTask
from app.services.label_studio.labelling_config import LabellingConfig, parse
from app.services.uploads.sources import MEGABYTE
from app.settings import Settings

_REDIRECTS = 5
# For one image, and for an answer of the API: an export takes as long as a project is large.
_IMAGE_SECONDS, _API_SECONDS = 30.0, 300.0
_LARGEST_EXPORT = 512 * MEGABYTE
# Access tokens last five minutes.
_ACCESS_SECONDS = 240.0
# URIs of storages that Label Studio has the keys of.
_STORAGES = ("s3://", "gs://", "azure-blob://")

_TASKS = TypeAdapter(list[AnnotatedTask])

log = structlog.get_logger(__name__)


class LabelStudioFailedError(ServiceError, status=502, code="label-studio-failed"):
    """Label Studio cannot be reached, or refuses what it is asked for."""


class NotFetchedError(Exception):
    """An image cannot be fetched; the text says why."""


class _Project(BaseModel):
    label_config: str


class _Access(BaseModel):
    access: str


class LabelStudio:
    """The server of the settings, with which one event loop speaks."""

    def __init__(self, settings: Settings) -> None:
        assert settings.label_studio_url and settings.label_studio_token  # noqa: S101
        self._base = httpx.URL(settings.label_studio_url.rstrip("/") + "/")
        self._token = settings.label_studio_token.get_secret_value()
        self._hosts = settings.label_studio_hosts
        self._largest = settings.max_image_megabytes * MEGABYTE
        self._own = httpx.AsyncClient(trust_env=False, timeout=_IMAGE_SECONDS)
        self._others = httpx.AsyncClient(
            transport=GuardedTransport(private=settings.label_studio_private),
            timeout=_IMAGE_SECONDS,
        )
        self._access = ""
        self._access_until = 0.0
        self._renewing = asyncio.Lock()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._own.aclose()
        await self._others.aclose()

    async def labelling_config(self, project: int) -> LabellingConfig:
        """Return a project's. Raises LabelStudioFailedError and InvalidLabellingConfigError."""
        content = await self._asked(f"api/projects/{project}/")
        try:
            return parse(_Project.model_validate_json(content).label_config)
        except ValidationError as error:
            raise _not_understood(error) from error

    async def annotated(self, project: int) -> list[AnnotatedTask]:
        """Return a project's tasks that have annotations. Raises LabelStudioFailedError."""
        content = await self._asked(f"api/projects/{project}/export?exportType=JSON")
        try:
            return await asyncio.to_thread(_TASKS.validate_json, content)
        except ValidationError as error:
            raise _not_understood(error) from error

    async def image(self, task: int | None, data: Mapping[str, Any], field: str) -> bytes:
        """Return the file that a field of a task's data names. Raises NotFetchedError.

        It is a URL of Label Studio or of one of the hosts of the settings, relative or not, one of
        a storage that Label Studio reads, or ``data:`` with the file in base64.
        """
        named = data.get(field)
        if not isinstance(named, str) or not named:
            raise NotFetchedError(f"the task has no URL in its field {field}")
        if named.startswith("data:"):
            return _inline(named, self._largest)
        if named.startswith(_STORAGES):
            if task is None:
                raise NotFetchedError("only tasks with an id have images of a storage")
            uri = base64.urlsafe_b64encode(named.encode()).decode()
            named = f"tasks/{task}/resolve/?fileuri={uri}"
        try:
            async with asyncio.timeout(_IMAGE_SECONDS):
                return await self._fetched(self._base.join(named))
        except TimeoutError:
            raise NotFetchedError(f"no image within {_IMAGE_SECONDS:g} seconds") from None
        except (httpx.InvalidURL, UnicodeError):
            raise NotFetchedError("its URL is not a URL") from None
        except UrlRefusedError as error:
            raise NotFetchedError(f"its URL {error}") from None
        except LabelStudioFailedError as error:
            raise NotFetchedError(error.detail) from None
        except (httpx.HTTPError, OSError) as error:
            raise NotFetchedError(f"it cannot be fetched: {described(error)}") from None

    async def _fetched(self, url: httpx.URL) -> bytes:
        for _ in range(_REDIRECTS):
            async with aclosing(await self._opened(url)) as response:
                if response.has_redirect_location:
                    # Each one is checked as the first is.
                    url = url.join(response.headers["location"])
                    continue
                if not response.is_success:
                    raise NotFetchedError(f"its URL answers {response.status_code}")
                return await _read(response, self._largest)
        raise NotFetchedError(f"its URL redirects more than {_REDIRECTS} times")

    async def _opened(self, url: httpx.URL) -> httpx.Response:
        """Return the beginning of an answer, by the client that is meant for its host."""
        if _origin(url) == _origin(self._base):
            headers = await self._credentials()
            return await self._own.send(
                self._own.build_request("GET", url, headers=headers), stream=True
            )
        if url.netloc.decode("ascii").lower() not in self._hosts:
            raise NotFetchedError(
                f"its host {url.host} is not one that ACCRUE_LABEL_STUDIO_HOSTS lists"
            )
        return await self._others.send(self._others.build_request("GET", url), stream=True)

    async def _asked(self, path: str) -> bytes:
        """Return an answer of the API."""
        headers = await self._credentials()
        try:
            async with (
                asyncio.timeout(_API_SECONDS),
                self._own.stream(
                    "GET", self._base.join(path), headers=headers, timeout=_API_SECONDS
                ) as response,
            ):
                _require_success(response)
                return await _read(response, _LARGEST_EXPORT)
        except (TimeoutError, httpx.HTTPError) as error:
            raise _not_reached(error) from error
        except NotFetchedError as error:
            raise LabelStudioFailedError(
                f"The answer of Label Studio is not usable: {error}."
            ) from error

    async def _credentials(self) -> dict[str, str]:
        """Return the header that lets requests in, by a personal token or a legacy one."""
        if self._token.count(".") != 2:
            return {"Authorization": f"Token {self._token}"}
        async with self._renewing:
            if time.monotonic() >= self._access_until:
                self._access = await self._renewed()
                self._access_until = time.monotonic() + _ACCESS_SECONDS
        return {"Authorization": f"Bearer {self._access}"}

    async def _renewed(self) -> str:
        """Return an access token for the personal token, which is a JWT."""
        url = self._base.join("api/token/refresh/")
        try:
            response = await self._own.post(url, json={"refresh": self._token})
            _require_success(response)
            return _Access.model_validate_json(response.content).access
        except httpx.HTTPError as error:
            raise _not_reached(error) from error
        except ValidationError as error:
            raise _not_understood(error) from error


async def _read(response: httpx.Response, most: int) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > most:
            raise NotFetchedError(f"it has more than {most // MEGABYTE} megabytes")
    return bytes(content)


def _inline(url: str, most: int) -> bytes:
    """Return what is in a ``data:`` URL."""
    head, _, encoded = url.partition(",")
    if not head.endswith(";base64"):
        raise NotFetchedError("its data: URL is not in base64")
    if len(encoded) * 3 // 4 > most:
        raise NotFetchedError(f"it has more than {most // MEGABYTE} megabytes")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise NotFetchedError("its data: URL is not in base64") from None


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _require_success(response: httpx.Response) -> None:
    if response.status_code in (401, 403):
        raise LabelStudioFailedError(
            f"Label Studio answers {response.status_code}: ACCRUE_LABEL_STUDIO_TOKEN is not good "
            "there, or its user may not see the project. Set another one."
        )
    if not response.is_success:
        raise LabelStudioFailedError(
            f"Label Studio answers {response.status_code} at {response.url.path}."
        )


def _not_reached(error: Exception) -> LabelStudioFailedError:
    log.warning("label_studio_not_reached", error=error)
    return LabelStudioFailedError(
        "Label Studio cannot be reached at ACCRUE_LABEL_STUDIO_URL. See that it runs there, and "
        "try again."
    )


def _not_understood(error: Exception) -> LabelStudioFailedError:
    log.warning("label_studio_not_understood", error=error)
    return LabelStudioFailedError(
        "What answers at ACCRUE_LABEL_STUDIO_URL is not the API of Label Studio. Set its address."
    )
