"""``POST /predict``: the one route where a millisecond counts.

What the routes here declare is validated and documented by the framework. A request whose query is
known to be valid does not reach them: `app.api.predict_path` answers it in the same way.
"""

from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response

from app.api.access import Router, needs
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
    top_k: Annotated[
        int, Query(ge=1, le=10_000, description="Largest number of classes to rank.")
    ] = 5,
    task: Annotated[
        int | None, Query(ge=0, lt=10**9, description="Consider this task's classes only.")
    ] = None,
    classify: Literal["auto", "nearest_mean", "softmax", "discriminant"] = "auto",
    false_alarms: Annotated[
        float | None,
        Query(
            gt=0,
            lt=1,
            allow_inf_nan=False,
            description="The share of images of known classes that may be called unknown; the "
            "classifier's if left out.",
        ),
    ] = None,
    explain: Annotated[
        bool, Query(description="Add a heat map of what spoke for the answer to each result.")
    ] = False,
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
    TooManyImagesAtOnceError,
    BodyTooLargeError,
    *FORM_ERRORS,
    RateLimitedError,
)
_OK: dict[int | str, dict[str, Any]] = {
    200: {
        "model": PredictView,
        "description": "Predictions of all images in their order.",
        "headers": {
            "Server-Timing": {
                "description": "Milliseconds in the stages queue, decode and infer.",
                "schema": {"type": "string"},
            },
            **{
                f"RateLimit-{name}": {
                    "description": f"{what} Of keys with a rate limit.",
                    "schema": {"type": "integer"},
                }
                for name, what in {
                    "Limit": "Images that may be predicted at once.",
                    "Remaining": "How many of these are left.",
                    "Reset": "In how many seconds all are there again.",
                }.items()
            },
        },
    }
}
_BODY = raw_body(
    form=PredictForm,
    document=PredictBody,
    raw="One image, in a format that uploads may have.",
)


@router.post(
    "/predict",
    response_class=Response,
    responses={**responses(ClassifierRequiredError, *_ERRORS), **_OK},
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
    responses={**responses(*_ERRORS), **_OK},
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
