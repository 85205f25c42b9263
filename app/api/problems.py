"""Every error as an RFC 9457 problem document, and the errors of each route in OpenAPI.

Services raise `ServiceError`; errors of FastAPI and the database get their codes here. A document
never repeats the client's input, and that of an unexpected error shows only the request id.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from itertools import groupby
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from starlette.types import Scope

from app.api.answer_headers import with_headers
from app.db.damage import DamageMetError
from app.db.engine import UNAVAILABLE
from app.db.sqlite_file import DatabaseReplacedError
from app.errors import FieldError, ServiceError

MEDIA_TYPE = "application/problem+json"

# What pydantic says in words of its own, by type of error.
_WORDS = {"extra_forbidden": "There is no field of this name."}

log = structlog.get_logger(__name__)


class ProblemError(BaseModel):
    """One wrong part of the request."""

    pointer: str = Field(
        description="JSON pointer into the body; /query/…, /path/… or /header/… elsewhere."
    )
    detail: str
    label: str | None = None


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = Field(description="The request's id, as in X-Request-ID.")
    code: str = Field(description="Stable machine name of the kind of problem.")
    errors: list[ProblemError] = Field(default_factory=list)


class InvalidRequestError(ServiceError, status=422, code="invalid-request"):
    """A parameter or a field of the body is wrong."""


class BodyTooLargeError(ServiceError, status=413, code="body-too-large"):
    """The body is larger than this server accepts."""


class DatabaseUnavailableError(ServiceError, status=503, code="database-unavailable"):
    """The database is locked or cannot be reached; a retry may succeed."""


class DatabaseDamagedError(ServiceError, status=503, code="database-damaged"):
    """The database is damaged where this request needs it; a retry does not help."""


class BadRequestError(ServiceError, status=400, code="bad-request"):
    """The request cannot be read."""


class NotFoundError(ServiceError, status=404, code="not-found"):
    """Nothing is at this address."""


class MethodNotAllowedError(ServiceError, status=405, code="method-not-allowed"):
    """The address does not take this method; the header Allow has those that it takes."""


class RequestTimeoutError(ServiceError, status=408, code="request-timeout"):
    """The request came too slowly."""


class HeadTooLargeError(
    ServiceError, status=431, code="head-too-large", title="Request header fields too large"
):
    """The request line and the headers are larger than this server reads."""


class TooManyConnectionsError(ServiceError, status=503, code="too-many-connections"):
    """The process has as many open connections as it may have."""


# What the framework and our middleware raise as a status alone.
_BY_STATUS: dict[int, type[ServiceError]] = {
    kind.status: kind
    for kind in (
        BadRequestError,
        NotFoundError,
        MethodNotAllowedError,
        RequestTimeoutError,
        BodyTooLargeError,
    )
}


def type_of(code: str) -> str:
    """Return the URI of a kind of problem: the address of a page about it, at this service."""
    return f"/problems/{code}"


def request_id(scope: Scope) -> str:
    """Return the id that the middleware gave this request."""
    return str(scope.get("state", {}).get("request_id", ""))


def problem_code(scope: Scope) -> str | None:
    """Return the code of the problem document that answers the request, None if there is none."""
    code: str | None = scope.get("state", {}).get("problem_code")
    return code


def _described(error: FieldError) -> dict[str, str]:
    described = {"pointer": error.pointer, "detail": error.detail}
    return described if error.label is None else {**described, "label": error.label}


def service_problem(scope: Scope, error: ServiceError) -> Response:
    """Build the answer to an error that a service raised: one problem document."""
    document = {
        "type": type_of(error.code),
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": request_id(scope),
        "code": error.code,
        "errors": [_described(wrong) for wrong in error.errors],
    }
    scope.setdefault("state", {})["problem_code"] = error.code
    if scope.get("path", "").startswith("/v2/"):
        # Clients of the Open Inference Protocol look for it there.
        document["error"] = error.detail
    return Response(
        orjson.dumps(document), error.status, headers=error.headers, media_type=MEDIA_TYPE
    )


def unexpected_problem(scope: Scope) -> Response:
    """Build the 500 that hides the cause; the log has it under the request's id."""
    return service_problem(scope, ServiceError("The server failed to handle this request."))


def pointer(location: Iterable[int | str]) -> str:
    """Turn pydantic's location into a JSON pointer whose root is the body."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in location]
    if parts and parts[0] == "body":
        parts = parts[1:]
    return "".join(f"/{part}" for part in parts)


def field_errors(errors: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """Turn pydantic's errors into field errors, without the input that they quote."""
    return [
        FieldError(
            # The location of a syntax error is a position in the text, not a field.
            "" if error["type"] == "json_invalid" else pointer(error["loc"]),
            _said(error),
        )
        for error in errors
    ]


def _said(error: Mapping[str, Any]) -> str:
    match error:
        case {"type": "json_invalid", "loc": ("body", int(at)), "ctx": {"error": why}}:
            return f"Not JSON: {why} (character {at + 1})."
    return _WORDS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101 - narrows the type
    return service_problem(request.scope, error)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - narrows the type
    wrong = field_errors(error.errors())
    detail = "The request is not valid: see errors."
    return service_problem(request.scope, InvalidRequestError(detail, errors=wrong))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - narrows the type
    headers, detail = error.headers, str(error.detail)
    if error.status_code == MethodNotAllowedError.status:
        allowed = ", ".join(_allowed(request.app, request.url.path))
        headers, detail = {"Allow": allowed}, f"This address takes {allowed}."
    elif detail == HTTPStatus.NOT_FOUND.phrase:  # the framework's own word
        detail = "Nothing is at this address. /docs shows all that there are."
    kind = _BY_STATUS.get(error.status_code, ServiceError)
    return service_problem(request.scope, kind(detail, headers=headers))


def _allowed(app: FastAPI, path: str) -> list[str]:
    """Return the methods of all routes of a path: the framework names those of the first only."""
    methods: dict[str, set[str]] = defaultdict(set)
    for route in iter_route_contexts(app.routes):
        if route.path is not None and compile_path(route.path)[0].match(path):
            methods[route.path] |= set(route.methods or ())
    # `/v1/uploads/layout` is not the upload of that name.
    found = methods[min(methods, key=lambda template: template.count("{"))]
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


async def _on_database_error(request: Request, error: Exception) -> Response:
    log.warning("database_unavailable", error=error, request_id=request_id(request.scope))
    if isinstance(error, DatabaseReplacedError):
        detail = (
            "The database's file was deleted or replaced while the service runs, so nothing is "
            "accepted. Put it back, or start the service again to use the file that is there."
        )
    else:
        detail = "The database is busy or cannot be reached."
    answer = DatabaseUnavailableError(detail, headers={"Retry-After": "1"})
    return service_problem(request.scope, answer)


async def _on_damage(request: Request, error: Exception) -> Response:
    log.error("database_damaged", error=error, request_id=request_id(request.scope))
    request.app.state.inspector.met_damage()
    detail = (
        "The database is damaged. Whoever runs the service finds with `accrue doctor --deep` what "
        "is wrong, and stops it and puts a backup in place with `accrue restore`."
    )
    return service_problem(request.scope, DatabaseDamagedError(detail))


async def _on_data_error(request: Request, _error: Exception) -> Response:
    detail = "The request has a value that cannot be stored, such as a NUL character."
    return service_problem(request.scope, InvalidRequestError(detail))


async def _on_encode_error(request: Request, error: Exception) -> Response:
    log.warning("text_not_encodable", error=error, request_id=request_id(request.scope))
    detail = "The request has text with half of a surrogate pair, which is not valid Unicode."
    return service_problem(request.scope, InvalidRequestError(detail))


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    for unavailable in UNAVAILABLE:
        app.add_exception_handler(unavailable, _on_database_error)
    app.add_exception_handler(DamageMetError, _on_damage)
    app.add_exception_handler(DataError, _on_data_error)
    app.add_exception_handler(UnicodeEncodeError, _on_encode_error)


# The errors of all routes.
_COMMON: tuple[type[ServiceError], ...] = (
    InvalidRequestError,
    ServiceError,
    DatabaseUnavailableError,
    DatabaseDamagedError,
)


def responses(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """Describe a route's problems for OpenAPI: pass the result as its ``responses``.

    Those that all routes have are its ``default``, which `any_problem` describes.
    """
    by_status: dict[int, list[type[ServiceError]]] = {}
    for error in dict.fromkeys(errors):
        by_status.setdefault(error.status, []).append(error)
    problem = {"$ref": "#/components/responses/Problem"}
    found: dict[int | str, dict[str, Any]] = {
        status: {**problem, "description": _codes(kinds)}
        for status, kinds in sorted(by_status.items())
    }
    return {**found, "default": problem}


def any_problem(*others: type[ServiceError]) -> dict[str, Any]:
    """Describe the problems that every route may answer with: the common ones, and others."""
    kinds = sorted((*_COMMON, *others), key=lambda kind: kind.status)
    by_status = (
        f"{status} {_codes(same)}" for status, same in groupby(kinds, lambda kind: kind.status)
    )
    described = {
        "description": "; ".join(by_status),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    return with_headers({0: described}, 0, "Retry-After", "WWW-Authenticate")[0]


def _codes(kinds: Iterable[type[ServiceError]]) -> str:
    return ", ".join(f"`{kind.code}`" for kind in kinds)
