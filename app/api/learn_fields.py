"""What a request says that learns its own body: in its query, and of a webhook in its headers."""

from typing import Annotated

from fastapi import Depends, Header, Path, Query
from pydantic import ValidationError

from app.api.json_parameters import MetadataInQuery, OptionsInQuery, errors_within
from app.api.problems import InvalidRequestError
from app.errors import FieldError
from app.services.classifiers import choices
from app.services.classifiers.annotations import Description
from app.services.classifiers.references import NumberOrAlias
from app.services.classifiers.spec import ClassifierSpec, NewClassifier
from app.services.jobs.webhooks import Secret, Webhook
from app.services.steps.requests import LearnFields, OnExisting
from models.json_values import Text

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
    options: OptionsInQuery,
    metadata: MetadataInQuery,
    on_existing: OnExisting = "error",
    base_version: NumberOrAlias | None = None,
    max_minutes: Annotated[float | None, Query(gt=0, allow_inf_nan=False)] = None,
    description: Annotated[Description, Query(description="Of the version.")] = "",
) -> LearnFields:
    return LearnFields(
        options=options,
        on_existing=on_existing,
        base_version=base_version,
        max_minutes=max_minutes,
        description=description,
        metadata=metadata,
        webhook=webhook,
    )


async def _absent(
    name: Annotated[str, Path()],
    create: Annotated[
        bool,
        Query(description="Make the classifier where there is none."),
    ] = False,
) -> ClassifierSpec | None:
    if not create:
        return None
    try:
        return choices.completed(NewClassifier(name=name))
    except ValidationError as error:
        raise InvalidRequestError(
            "A classifier cannot have this name: see errors.", errors=errors_within("/path", error)
        ) from error


Fields = Annotated[LearnFields, Depends(_fields)]
# What the classifier becomes where there is none; None: it must exist.
Absent = Annotated[ClassifierSpec | None, Depends(_absent)]
