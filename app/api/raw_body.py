"""Bodies for OpenAPI that routes read themselves, so that FastAPI does not see them."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

BINARY = {"type": "string", "format": "binary"}
_FILES = {"files": {"type": "array", "items": BINARY}}


def raw_body(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route, from the schema of its body by media type."""
    content = {media_type: {"schema": schema} for media_type, schema in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


def form_schema(**fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the schema of a form of `files` and of other fields, which are optional."""
    return {"type": "object", "required": ["files"], "properties": fields | _FILES}


def images_schema(image: type[BaseModel], **bounds: int) -> dict[str, Any]:
    """Return the schema of a JSON object with `images`, a list within the bounds."""
    images = {"type": "array", **bounds, "items": image.model_json_schema()}
    return {
        "type": "object",
        "required": ["images"],
        "additionalProperties": False,
        "properties": {"images": images},
    }
