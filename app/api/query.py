"""Refuses unknown query parameters, as unknown fields of a body are refused."""

from typing import Any

from fastapi import FastAPI, Request

from app.api.problems import InvalidRequestError, pointer
from app.errors import FieldError


def known_parameters(document: dict[str, Any]) -> dict[tuple[str, str], frozenset[str]]:
    """Return the query parameters of every route, by method and path, from the OpenAPI document."""
    return {
        (method.upper(), path): frozenset(
            parameter["name"]
            for given in operation.get("parameters", ())
            if (parameter := _resolved(document, given))["in"] == "query"
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def _resolved(document: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter, which several routes may share."""
    if "$ref" not in given:
        return given
    shared: dict[str, Any] = document["components"]["parameters"][given["$ref"].rpartition("/")[2]]
    return shared


async def require_known(request: Request) -> None:
    """Raise InvalidRequestError if the query has a parameter that the route does not have."""
    if not request.query_params:
        return
    app: FastAPI = request.app
    if not hasattr(app.state, "query_parameters"):
        app.state.query_parameters = known_parameters(app.openapi())
    route = request.method, request.scope["route"].path_format
    known = app.state.query_parameters.get(route, frozenset())  # a page is not in the document
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        names = f"this route has {', '.join(sorted(known))}" if known else "this route has none"
        raise InvalidRequestError(
            "The query has unknown parameters: see errors.",
            errors=[
                FieldError(pointer(["query", name]), f"no such parameter; {names}")
                for name in unknown
            ],
        )
