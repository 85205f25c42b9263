"""Query parameters that are objects of JSON."""

from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query
from pydantic import TypeAdapter, ValidationError

from app.api.problems import InvalidRequestError, field_errors
from app.errors import FieldError
from app.services.classifiers.annotations import Metadata
from models.json_values import GivenOptions

T = TypeVar("T")

_OPTIONS: TypeAdapter[dict[str, Any]] = TypeAdapter(GivenOptions)
_METADATA: TypeAdapter[dict[str, str]] = TypeAdapter(Metadata)


async def _options(
    options: Annotated[
        str | None,
        Query(description='As JSON: `{"epochs": 5}`.'),
    ] = None,
) -> dict[str, Any]:
    return {} if options is None else _parsed(_OPTIONS, "options", options, '{"epochs": 5}')


async def _metadata(
    metadata: Annotated[
        str | None, Query(description='Of versions, as JSON: `{"owner": "Ann"}`.')
    ] = None,
) -> dict[str, str]:
    return {} if metadata is None else _parsed(_METADATA, "metadata", metadata, '{"owner": "Ann"}')


OptionsInQuery = Annotated[dict[str, Any], Depends(_options)]
MetadataInQuery = Annotated[dict[str, str], Depends(_metadata)]


def errors_within(place: str, error: ValidationError) -> list[FieldError]:
    """Return what is wrong with a part of the request, which `place` points at."""
    found = field_errors(error.errors())
    return [FieldError(place + each.pointer, each.detail, each.label) for each in found]


def _parsed(kind: TypeAdapter[dict[str, T]], name: str, text: str, example: str) -> dict[str, T]:
    try:
        return kind.validate_json(text, strict=True)
    except ValidationError as error:
        raise InvalidRequestError(
            f"The {name} must be a JSON object, such as {example}.",
            errors=errors_within(f"/query/{name}", error),
        ) from error
