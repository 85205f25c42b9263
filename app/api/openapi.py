"""The OpenAPI document: what the framework writes, and what it cannot know.

Generators make clients of it, and name what they make after the names here. So every schema of an
object, and every enumeration, has a name; and what many routes share is written once.
"""

import json
import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api import access, openapi_examples, openapi_schemas
from app.api.answer_headers import HEADERS
from app.api.body_kinds import UnsupportedBodyError
from app.api.csrf import ForeignSiteError
from app.api.form_parts import MalformedFormError
from app.api.form_source import UploadForm
from app.api.json_source import JsonUpload
from app.api.openapi_schemas import SCHEMAS
from app.api.openapi_sharing import (
    operations,
    share_answers,
    share_bodies,
    share_of_paths,
    share_parameters,
    share_responses,
)
from app.api.paging import Page
from app.api.predict_views import PredictBody, PredictForm
from app.api.problem_catalogue import catalogue
from app.api.problems import BadRequestError, BodyTooLargeError, Problem, any_problem
from app.services.access.idempotency import IDEMPOTENCY_ERRORS
from app.services.access.keyring import MissingScopeError, UnauthorizedError
from app.services.classifiers.annotations import Annotations
from app.services.classifiers.spec import ClassifierFields
from app.services.classifiers.version_file import TensorsUnreadableError
from app.services.classifiers.version_views import VersionFields
from app.services.jobs.fields import JobFields
from app.services.steps.requests import VersionJobFields
from app.services.stored import StorageChangedError, StorageUnavailableError
from app.services.uploads.rejections import RejectedView

# Bodies that routes read themselves, and problems: no route declares their models.
_UNDECLARED = (Problem, UploadForm, JsonUpload, PredictForm, PredictBody)
# What several models have in common.
_BASES = (
    Annotations,
    ClassifierFields,
    JobFields,
    RejectedView,
    VersionFields,
    VersionJobFields,
)
MODELS: tuple[type[BaseModel], ...] = (*_UNDECLARED, *_BASES)
# What any request may be answered, beside what `problems` knows of: said once, in `default`.
_ANY = (
    BadRequestError,
    MalformedFormError,
    UnauthorizedError,
    MissingScopeError,
    ForeignSiteError,
    *IDEMPOTENCY_ERRORS,
    BodyTooLargeError,
    UnsupportedBodyError,
    StorageChangedError,
    StorageUnavailableError,
    TensorsUnreadableError,
)
_TAGS = {
    "classifiers": "Named things that learn.",
    "uploads": "Labelled images sent in, for jobs to use.",
    "jobs": "Learning, forgetting, correcting, evaluating and advice.",
    "versions": "The immutable results of jobs, and the aliases that name them.",
    "predict": "What images show.",
    "methods": "The parts that a classifier can be made of.",
    "keys": "Whose key a request was sent with.",
    "health": "Whether the service is well, and what it is.",
}


def operation_id(route: APIRoute) -> str:
    """Return the name of a route's operation: that of its function."""
    return route.name


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of an application, which is made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _document(app)
    return app.openapi_schema


def _document(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        license_info=app.license_info,
        routes=app.routes,
        webhooks=app.webhooks.routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
    )
    components = made["components"]
    _, extra = models_json_schema(
        [(model, "validation") for model in MODELS], ref_template=SCHEMAS + "{model}"
    )
    components["schemas"] |= extra["$defs"]
    components["securitySchemes"] = access.SECURITY_SCHEMES
    made["security"] = access.SECURITY
    made = _with_names_of_pages(made)
    components, schemas = made["components"], made["components"]["schemas"]
    schemas["Page"] = _page()
    openapi_schemas.shorten(made)
    for operation in operations(made):
        _shorten_operation(operation)
    _finish(schemas)
    components["headers"] = HEADERS
    components["responses"] = {"Problem": any_problem(*_ANY)}
    share_parameters(made)
    share_bodies(made)
    share_responses(made)
    share_answers(made)
    openapi_examples.add(made)
    share_of_paths(made)
    for kind, found in components.items():
        components[kind] = dict(sorted(found.items()))
    return made


def _finish(schemas: dict[str, Any]) -> None:
    """Say of schemas what models cannot say, and the rest in few bytes."""
    schemas["ProblemCode"] = {"type": "string", "enum": list(catalogue())}
    schemas["Problem"]["properties"]["code"] = {"$ref": SCHEMAS + "ProblemCode"}
    for name in ("JobRequest", "ReportView"):
        schemas[name] = openapi_schemas.by_kind(schemas, schemas[name]["anyOf"])
    kinds = [option["$ref"] for option in schemas["JobRequest"]["oneOf"]]
    shared = {model.__name__ for model in _BASES}
    for name, schema in schemas.items():
        if "properties" in schema and SCHEMAS + name not in kinds:
            schema.pop("description", None)  # it says no more than the name
        if name.endswith(("View", "Page")) or name in shared:
            openapi_schemas.open_up(schema)
    openapi_schemas.inherit(schemas)
    for name, schema in schemas.items():
        if name.endswith("View") and name != "LearntWithView":  # which requests inherit
            openapi_schemas.drop_defaults(schema)


def _with_names_of_pages(made: dict[str, Any]) -> dict[str, Any]:
    """Name a page of jobs `JobPage`: the framework derives a name from the generic model's."""
    renamed: dict[str, Any] = json.loads(
        re.sub(r"\bPage_(\w+?)(?:View)?_(?=\")", r"\1Page", json.dumps(made))
    )
    return renamed


def _page() -> dict[str, Any]:
    """Return what all pages have in common."""
    schema = Page[None].model_json_schema()
    del schema["properties"]["data"]
    schema["required"].remove("data")
    return schema


def _shorten_operation(operation: dict[str, Any]) -> None:
    summary, _, more = operation.pop("description").partition("\n\n")
    operation["summary"] = summary.replace("\n", " ")
    if more:
        operation["description"] = more
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
        parameter["schema"].pop("description", None)  # the parameter has it already
        for bound in ("ge", "lt"):  # of a moment, for which JSON schema has no words
            parameter["schema"].pop(bound, None)
        parameter["schema"].pop("examples", None)  # more than a reader needs: every encoding
        if not parameter["required"]:
            del parameter["required"]
    for status, response in operation["responses"].items():
        if response["description"] == "Successful Response":
            response["description"] = HTTPStatus(int(status)).phrase
        elif status == "default" and "$ref" in response:
            del response["description"]  # its reference has one
    operation["responses"] = _own(operation["responses"])
    if operation.get("security") == access.SECURITY:
        del operation["security"]
    elif "security" not in operation:
        operation["security"] = []


def _own(responses: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the responses without the problems that any request may be answered."""
    common = {f"`{error.code}`" for error in _ANY}
    own = {}
    for status, response in responses.items():
        if "$ref" in response and "description" in response:
            codes = [code for code in response["description"].split(", ") if code not in common]
            if not codes:
                continue
            response["description"] = ", ".join(codes)
        own[status] = response
    return own


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter that may be left out: a query or header has no null."""
    match schema:
        case {"anyOf": [found, {"type": "null"}]}:
            return dict(found)
        case {"type": [kind, "null"]}:
            return {**schema, "type": kind}
    return schema
