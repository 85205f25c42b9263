"""What a request says that learns its own body: in its query, and of a webhook in its headers."""

from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query
from pydantic import TypeAdapter, ValidationError

from app.api.problems import InvalidRequestError, field_errors
from app.errors import FieldError
from app.services.classifiers import choices
from app.services.classifiers.references import NumberOrAlias
from app.services.classifiers.spec import ClassifierSpec, NewClassifier
from app.services.jobs.webhooks import Secret, Webhook
from app.services.steps.requests import LearnFields, OnExisting
from models.json_values import GivenOptions, Text

_Options: TypeAdapter[dict[str, Any]] = TypeAdapter(GivenOptions)
_HEADERS = ("Webhook-URL", "Webhook-Secret")


async def _webhook(
    url: Annotated[
        Text | None,
        Header(alias=_HEADERS[0], description="Where to POST that the job has ended: https."),
    ] = None,
    secret: Annotated[Secret | None, Header(alias=_HEADERS[1])] = None,
) -> Webhook | None:
    if url is None and secret is None:
        return None
    if url is None or secret is None:
        lacking = _HEADERS[url is not None]
        raise InvalidRequestError(
            "A webhook has a URL and a secret.",
            errors=[FieldError(f"/header/{lacking}", "missing")],
        )
    return Webhook(url=url, secret=secret)


async def _fields(
    webhook: Annotated[Webhook | None, Depends(_webhook)],
    options: Annotated[
        str | None,
        Query(
            description="The method's options as JSON, over the classifier's: `{\"epochs\": 5}`."
        ),
    ] = None,
    on_existing: OnExisting = "error",
    base_version: NumberOrAlias | None = None,
    max_minutes: Annotated[float | None, Query(gt=0, allow_inf_nan=False)] = None,
) -> LearnFields:
    return LearnFields(
        options={} if options is None else _parsed(options),
        on_existing=on_existing,
        base_version=base_version,
        max_minutes=max_minutes,
        webhook=webhook,
    )


def _parsed(options: str) -> dict[str, Any]:
    try:
        return _Options.validate_json(options)
    except ValidationError as error:
        raise InvalidRequestError(
            'The options must be a JSON object, such as {"epochs": 5}.',
            errors=_within("/query/options", error),
        ) from error


def _within(place: str, error: ValidationError) -> list[FieldError]:
    found = field_errors(error.errors())
    return [FieldError(place + each.pointer, each.detail) for each in found]


async def _absent(
    name: Annotated[str, Path()],
    create: Annotated[
        bool,
        Query(description="Make the classifier by its name alone, unless there is one already."),
    ] = False,
) -> ClassifierSpec | None:
    if not create:
        return None
    try:
        return choices.completed(NewClassifier(name=name))
    except ValidationError as error:
        raise InvalidRequestError(
            "A classifier cannot have this name: see errors.", errors=_within("/path", error)
        ) from error


Fields = Annotated[LearnFields, Depends(_fields)]
# What the classifier becomes where there is none; None: it must exist.
Absent = Annotated[ClassifierSpec | None, Depends(_absent)]
