"""The OpenAPI document: what the framework writes, and what it cannot know.

Generators make clients of it, and name what they make after the names here. So every schema of an
object, and every enumeration, has a name; and what many routes share is written once.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api import access
from app.api.csrf import ForeignSiteError
from app.api.form_source import UploadForm
from app.api.json_source import JsonUpload
from app.api.paging import Page
from app.api.predict_views import PredictBody, PredictForm
from app.api.problem_catalogue import catalogue
from app.api.problems import BodyTooLargeError, Problem, any_problem
from app.services.access.keyring import MissingScopeError, UnauthorizedError

_SCHEMAS = "#/components/schemas/"
# Bodies that routes read themselves, and problems: no route declares their models.
MODELS: tuple[type[BaseModel], ...] = (Problem, UploadForm, JsonUpload, PredictForm, PredictBody)
_TAGS = {
    "classifiers": "Named things that learn.",
    "uploads": "Labelled images sent in, for jobs to use.",
    "jobs": "Work that takes a while: learning, forgetting, correcting, evaluating, advice.",
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
        [(model, "validation") for model in MODELS], ref_template=_SCHEMAS + "{model}"
    )
    components["schemas"] |= extra["$defs"]
    components["securitySchemes"] = access.SECURITY_SCHEMES
    made["security"] = access.SECURITY
    made = _with_names_of_pages(made)
    components, schemas = made["components"], made["components"]["schemas"]
    schemas["Page"] = _page()
    _shorten(made)
    for operation in _operations(made):
        _shorten_operation(operation)
    schemas["ProblemCode"] = {"type": "string", "enum": list(catalogue())}
    schemas["Problem"]["properties"]["code"] = {"$ref": _SCHEMAS + "ProblemCode"}
    for name in ("JobRequest", "ReportView"):
        schemas[name] = _by_kind(schemas, schemas[name]["anyOf"])
    _inherit(schemas)
    for name, schema in schemas.items():
        if name.endswith(("View", "Page")):
            schema.pop("description", None)  # it says no more than the name
    _share_parameters(made)
    components["responses"] = {
        "Problem": any_problem(
            UnauthorizedError, MissingScopeError, ForeignSiteError, BodyTooLargeError
        )
    }
    for kind, found in components.items():
        components[kind] = dict(sorted(found.items()))
    return made


def _operations(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in (*made["paths"].values(), *made.get("webhooks", {}).values()):
        yield from item.values()


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


def _shorten(node: Any) -> None:
    """Say the same of schemas in fewer bytes: no titles, which repeat names, and types in lists."""
    if isinstance(node, list):
        for value in node:
            _shorten(value)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("title"), str) and "license" not in node:
        del node["title"]
    match node.get("anyOf"):
        case [{"type": str() as kind, **rest}, {"type": "null"}] if "enum" not in rest:
            del node["anyOf"]
            node |= {"type": [kind, "null"], **rest}
    for name, value in node.items():
        # Their names are those of fields, and examples are data.
        for child in value.values() if name in ("properties", "$defs") else [value]:
            if name not in ("example", "examples", "default"):
                _shorten(child)


def _shorten_operation(operation: dict[str, Any]) -> None:
    summary, _, more = operation.pop("description").partition("\n\n")
    operation["summary"] = summary.replace("\n", " ")
    if more:
        operation["description"] = more
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
        parameter["schema"].pop("description", None)  # the parameter has it already
        parameter["schema"].pop("examples", None)  # more than a reader needs: every encoding
        if not parameter["required"]:
            del parameter["required"]
    for status, response in operation["responses"].items():
        if response["description"] == "Successful Response":
            response["description"] = HTTPStatus(int(status)).phrase
        elif status == "default":
            del response["description"]  # its reference has one
    if operation.get("security") == access.SECURITY:
        del operation["security"]
    elif "security" not in operation:
        operation["security"] = []


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter that may be left out: a query or header has no null."""
    match schema:
        case {"anyOf": [found, {"type": "null"}]}:
            return dict(found)
        case {"type": [kind, "null"]}:
            return {**schema, "type": kind}
    return schema


def _by_kind(schemas: dict[str, Any], options: list[dict[str, str]]) -> dict[str, Any]:
    """Describe one of several schemas, which their fields `kind` tell apart."""
    mapping = {
        schemas[option["$ref"].removeprefix(_SCHEMAS)]["properties"]["kind"]["const"]: option[
            "$ref"
        ]
        for option in options
    }
    return {"oneOf": options, "discriminator": {"propertyName": "kind", "mapping": mapping}}


def _inherit(schemas: dict[str, Any]) -> None:
    """Write the fields that a schema has from another one once."""
    whole = {name: schema for name, schema in schemas.items() if _may_be_inherited(schema)}
    for name, schema in whole.items():
        bases = [
            base
            for base, other in whole.items()
            if base != name and _extends(schema, other) and len(other["properties"]) > 1
        ]
        if not bases:
            continue
        base = max(bases, key=lambda each: len(whole[each]["properties"]))
        inherited = whole[base]["properties"]
        fields = schema["properties"].items()
        own = {field: value for field, value in fields if field not in inherited}
        required = [field for field in schema.get("required", ()) if field in own]
        more = {"type": "object", "properties": own} | ({"required": required} if required else {})
        described = {"description": schema["description"]} if "description" in schema else {}
        schemas[name] = {**described, "allOf": [{"$ref": _SCHEMAS + base}, more]}


def _may_be_inherited(schema: dict[str, Any]) -> bool:
    return "properties" in schema and "additionalProperties" not in schema


def _extends(schema: dict[str, Any], base: dict[str, Any]) -> bool:
    """Say whether a schema has the fields of another one, and more."""
    own, inherited = schema["properties"], base["properties"]
    return len(own) > len(inherited) and all(
        own.get(field) == value
        and (field in schema.get("required", ())) == (field in base.get("required", ()))
        for field, value in inherited.items()
    )


def _share_parameters(made: dict[str, Any]) -> None:
    """Move the parameters of several routes to the components, by their names."""
    lists = [operation.get("parameters", []) for operation in _operations(made)]
    times = Counter(json.dumps(parameter) for parameters in lists for parameter in parameters)
    shared: dict[str, str] = {}
    for text, count in times.most_common():
        if count > 1:
            name = json.loads(text)["name"]
            alike = sum(1 for each in shared.values() if each.partition(".")[0] == name)
            shared[text] = f"{name}.{alike + 1}" if alike else name
    for parameters in lists:
        for position, parameter in enumerate(parameters):
            if (name := shared.get(json.dumps(parameter))) is not None:
                parameters[position] = {"$ref": f"#/components/parameters/{name}"}
    made["components"]["parameters"] = {name: json.loads(text) for text, name in shared.items()}
