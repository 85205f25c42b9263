"""Refuses query parameters that are unknown or given twice, as unknown fields of a body are."""

from collections import Counter
from typing import Any

from fastapi import FastAPI, Request

from app.api.problems import InvalidRequestError, pointer
from app.errors import FieldError


def known_parameters(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, bool]]:
    """Return the query parameters of every route, and which of them may be repeated.

    By method and path, from the OpenAPI document.
    """
    return {
        (method.upper(), path): {
            parameter["name"]: parameter["schema"].get("type") == "array"
            for given in (*operations.get("parameters", ()), *operation.get("parameters", ()))
            if (parameter := _resolved(document, given))["in"] == "query"
        }
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }


def _resolved(document: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter, which several routes may share."""
    if "$ref" not in given:
        return given
    shared: dict[str, Any] = document["components"]["parameters"][given["$ref"].rpartition("/")[2]]
    return shared


async def require_known(request: Request) -> None:
    """Raise InvalidRequestError for a parameter that the route does not have, or not twice."""
    if not request.query_params:
        return
    app: FastAPI = request.app
    if not hasattr(app.state, "query_parameters"):
        app.state.query_parameters = known_parameters(app.openapi())
    route = request.method, request.scope["route"].path_format
    known = app.state.query_parameters.get(route, {})  # a page is not in the document
    names = f"this route has {', '.join(sorted(known))}" if known else "this route has none"
    given = Counter(name for name, _ in request.query_params.multi_items())
    unknown = {name: f"no such parameter; {names}" for name in given if name not in known}
    # The framework would take the last, and say nothing.
    twice = {
        name: "given twice; send one of them"
        for name, count in given.items()
        if count > 1 and not known.get(name, True)
    }
    if wrong := unknown | twice:
        raise InvalidRequestError(
            "The query has parameters that are unknown or given twice: see errors.",
            errors=[FieldError(pointer(["query", name]), why) for name, why in wrong.items()],
        )
