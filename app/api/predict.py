"""``POST /predict``: the one route where a millisecond counts.

What the routes here declare is validated and documented by the framework. A request whose query is
known to be valid does not reach them: `app.api.predict_path` answers it in the same way.
"""

from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response

from app.api.access import Router, needs
from app.api.answer_headers import RATE_LIMIT, with_headers
from app.api.body_kinds import UnsupportedBodyError
from app.api.deps import Caller
from app.api.form_parts import FORM_ERRORS
from app.api.predict_queries import Asked, KnownQueries
from app.api.predict_views import (
    PredictBody,
    PredictForm,
    PredictOptions,
    PredictView,
    TooManyImagesAtOnceError,
    UnreadableError,
)
from app.api.predicting import answer
from app.api.problems import BodyTooLargeError, responses
from app.api.raw_body import raw_body
from app.errors import ServiceError
from app.inference.errors import (
    ClassifyNotOfferedError,
    NoHeatMapError,
    NoVersionYetError,
    QueueFullError,
    UnknownTaskError,
    VersionLoadingError,
    VersionUnreadableError,
)
from app.inference.registry import ClassifierRequiredError
from app.services.access.limits import RateLimitedError
from app.services.classifiers.classifiers import ClassifierNotFoundError
from app.services.classifiers.references import LIVE
from app.services.classifiers.versions import VersionNotFoundError

router = Router(tags=["predict"], dependencies=[needs("predict")])


async def _options(
    version: Annotated[
        str, Query(max_length=64, description="A version's number or an alias.")
    ] = LIVE,
    top_k: Annotated[int, Query(ge=1, le=10_000)] = 5,
    task: Annotated[
        int | None, Query(ge=0, lt=10**9, description="Only this task's classes.")
    ] = None,
    classify: Literal["auto", "nearest_mean", "softmax", "discriminant"] = "auto",
    false_alarms: Annotated[
        float | None,
        Query(
            gt=0,
            lt=1,
            allow_inf_nan=False,
            description="As of the version, where left out.",
        ),
    ] = None,
    explain: Annotated[bool, Query(description="Add heat maps.")] = False,
) -> PredictOptions:
    return PredictOptions(version, top_k, task, classify, false_alarms, explain)


Options = Annotated[PredictOptions, Depends(_options)]

_ERRORS = (
    ClassifierNotFoundError,
    VersionNotFoundError,
    NoVersionYetError,
    VersionUnreadableError,
    VersionLoadingError,
    QueueFullError,
    UnreadableError,
    UnknownTaskError,
    ClassifyNotOfferedError,
    NoHeatMapError,
    UnsupportedBodyError,
    BodyTooLargeError,
    *FORM_ERRORS,
    TooManyImagesAtOnceError,
    RateLimitedError,
)


def _answers(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    ok = {"model": PredictView, "description": "Predictions of all images in their order."}
    return with_headers({**responses(*errors), 200: ok}, 200, "Server-Timing", *RATE_LIMIT)


_BODY = raw_body(
    form=PredictForm,
    document=PredictBody,
    raw="One image, in a format that uploads may have.",
)


@router.post(
    "/predict",
    response_class=Response,
    responses=_answers(ClassifierRequiredError, *_ERRORS),
    openapi_extra=_BODY,
)
async def predict(
    request: Request,
    caller: Caller,
    options: Options,
    classifier: Annotated[
        str | None,
        Query(max_length=100, description="Optional while there is only one classifier."),
    ] = None,
) -> Response:
    """Predict images with the classifier that the query names."""
    _remember(request, Asked(classifier, options))
    return await answer(request, caller, classifier, options)


@router.post(
    "/v1/classifiers/{name}/predict",
    response_class=Response,
    responses=_answers(*_ERRORS),
    openapi_extra=_BODY,
)
async def predict_with(
    name: str,
    request: Request,
    caller: Caller,
    options: Options,
) -> Response:
    """Predict images with this classifier."""
    _remember(request, Asked(None, options))
    return await answer(request, caller, name, options)


def _remember(request: Request, asked: Asked) -> None:
    """Remember what was asked for, now that it is known to be valid."""
    known: KnownQueries = request.app.state.known_queries
    known.remember(request.scope["route"].path, request.scope["query_string"], asked)
