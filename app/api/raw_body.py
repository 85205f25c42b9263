"""Bodies for OpenAPI that routes read themselves, so that FastAPI does not see them."""

from typing import Annotated, Any

from pydantic import BaseModel, WithJsonSchema

_BINARY = {"type": "string", "format": "binary"}
# A file in a form.
File = Annotated[bytes, WithJsonSchema(_BINARY)]


def raw_body(*, form: type[BaseModel], document: type[BaseModel], raw: str) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route that takes a form, JSON, or bytes as they are.

    The models must be in `MODELS` of `app.api.openapi`. Bytes are known by what they are, so they
    are documented as one type, whose description is `raw`.
    """
    content = {
        "multipart/form-data": {"schema": _named(form)},
        "application/json": {"schema": _named(document)},
        "application/octet-stream": {"schema": {**_BINARY, "description": raw}},
    }
    return {"requestBody": {"required": True, "content": content}}


def _named(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
