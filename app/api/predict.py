"""``POST /predict``: the one route where a millisecond counts.

A request whose version is loaded needs no SQL, no threads but the batcher's and no response model:
its answer is a plain dict, encoded once.
"""

import asyncio
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import orjson
from fastapi import Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, ValidationError
from python_multipart.multipart import parse_options_header

from app.api import base64_text, json_text
from app.api.access import Router, needs
from app.api.body_kinds import UnsupportedBodyError, kind_of
from app.api.deps import Caller, Inference, LoadedModels
from app.api.form_parts import FORM_ERRORS, boundary_of, parts
from app.api.problems import BodyTooLargeError, InvalidRequestError, field_errors, responses
from app.api.raw_body import BINARY, form_schema, images_schema, raw_body
from app.errors import FieldError, ServiceError
from app.imaging.reading import UnreadableImageError
from app.inference.batcher import Answer, Batcher
from app.inference.errors import (
    ClassifyNotOfferedError,
    NoVersionYetError,
    QueueFullError,
    UnknownTaskError,
    VersionLoadingError,
    VersionUnreadableError,
)
from app.inference.loaded import LoadedVersion
from app.inference.registry import ClassifierRequiredError, Registry
from app.inference.results import describe
from app.services.access.keyring import Caller as CallerOfRequest
from app.services.access.limits import RateLimitedError
from app.services.classifiers.classifiers import ClassifierNotFoundError
from app.services.classifiers.references import LIVE
from app.services.classifiers.versions import VersionNotFoundError
from app.services.requests import RequestBody

router = Router(tags=["predict"], dependencies=[needs("predict")])

# Not the thread pool of other routes, whose threads may all wait for a slow database. Two threads,
# so that one large body does not delay small ones.
_READERS = ThreadPoolExecutor(2, "predict-body")
# How long a request waits for its version to be loaded: less than proxies wait for an answer.
_LOAD_SECONDS = 30.0
_RAW = frozenset({"image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif"})


class UnreadableError(ServiceError, status=422, code="unreadable-image"):
    """The only image of the request cannot be read."""


class TooManyImagesAtOnceError(ServiceError, status=413, code="too-many-images"):
    """The request has more images than the server accepts at once."""


class Base64Image(RequestBody):
    """One image in JSON."""

    b64: str = Field(description="The image file in base64.", json_schema_extra={"format": "byte"})


class PredictBody(RequestBody):
    """Images in JSON."""

    images: list[Base64Image] = Field(min_length=1)


class RankedView(BaseModel):
    """One of the classes considered."""

    label: str
    score: float
    distance: float | None = Field(None, description="To the class mean; with nearest_mean only.")


class ImageErrorView(BaseModel):
    """Why an image of a batch has no prediction."""

    code: str
    detail: str


class ImageErrorResult(BaseModel):
    """The result of an image that cannot be read."""

    error: ImageErrorView


class ImageResult(BaseModel):
    """The prediction of one image."""

    label: str
    score: float = Field(description="Scores sum to 1 over the classes considered.")
    task: int
    known: bool | None = Field(
        description="Whether the image is like those of the classes; null where that cannot be "
        "told. False is said of at most a share of `false_alarms` of images of known classes."
    )
    p_known: float | None = Field(
        description="Its p-value: of images of known classes, a share of at most p has one of at "
        "most p."
    )
    known_why: str | None = Field(None, description="Why `known` is null; else it is left out.")
    ranked: list[RankedView]


class PredictView(BaseModel):
    """Predictions of all images in their order, and the version that made them."""

    classifier: str
    version: int
    results: list[ImageResult | ImageErrorResult]


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """The query parameters of a prediction."""

    version: str
    top_k: int
    task: int | None
    classify: str
    false_alarms: float | None


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
) -> PredictOptions:
    return PredictOptions(version, top_k, task, classify, false_alarms)


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
            }
        },
    }
}
_BODY = raw_body(
    {
        **dict.fromkeys(sorted(_RAW), BINARY),
        "multipart/form-data": form_schema(),
        "application/json": images_schema(Base64Image, minItems=1),
    }
)


@router.post(
    "/predict",
    response_class=Response,
    responses={**responses(ClassifierRequiredError, *_ERRORS), **_OK},
    openapi_extra=_BODY,
)
async def predict(
    request: Request,
    models: LoadedModels,
    batcher: Inference,
    caller: Caller,
    options: Options,
    classifier: Annotated[
        str | None,
        Query(max_length=100, description="Optional while there is only one classifier."),
    ] = None,
) -> Response:
    """Predict images with the classifier that the query names."""
    return await _answer(request, models, batcher, caller, classifier, options)


@router.post(
    "/v1/classifiers/{name}/predict",
    response_class=Response,
    responses={**responses(*_ERRORS), **_OK},
    openapi_extra=_BODY,
)
async def predict_with(
    name: str,
    request: Request,
    models: LoadedModels,
    batcher: Inference,
    caller: Caller,
    options: Options,
) -> Response:
    """Predict images with this classifier."""
    return await _answer(request, models, batcher, caller, name, options)


async def _answer(
    request: Request,
    models: Registry,
    batcher: Batcher,
    caller: CallerOfRequest,
    classifier: str | None,
    options: PredictOptions,
) -> Response:
    if caller.bucket is not None:
        caller.bucket.require()
    # The body first: a slow client must not hold a version that has to make room for others.
    images = await _images(request, batcher.capacity)
    name, version = await _version(models, caller.workspace, classifier, options.version)
    predictor = version.ready(options.task, options.classify)
    if predictor is None:
        predictor = await run_in_threadpool(version.predictor, options.task, options.classify)
        models.cache.resized(version)
    if caller.bucket is not None:
        caller.bucket.spend(len(images))
    readable = [image for image in images if isinstance(image, bytes)]
    answers = [await future for future in batcher.submit(predictor, readable)]
    outcomes = iter([answer.outcome for answer in answers])
    body = {
        "classifier": name,
        "version": version.number,
        "results": [
            _result(
                version,
                next(outcomes) if isinstance(image, bytes) else image,
                options,
                single=len(images) == 1,
            )
            for image in images
        ],
    }
    return Response(
        orjson.dumps(body),
        media_type="application/json",
        headers={"Server-Timing": _timing(answers)},
    )


async def _version(
    models: Registry, workspace: str, classifier: str | None, reference: str
) -> tuple[str, LoadedVersion]:
    """Find the version in memory, or else have it loaded and wait for that."""
    name = classifier or models.only_classifier(workspace)
    if name is not None and (found := models.find(workspace, name, reference)) is not None:
        return name, found
    asked = await run_in_threadpool(models.resolve, workspace, classifier, reference)
    try:
        async with asyncio.timeout(_LOAD_SECONDS):
            # Others wait for the same load: it goes on when this request is given up.
            version = await asyncio.shield(asyncio.wrap_future(asked.version))
    except TimeoutError:
        raise VersionLoadingError(
            f"The version is not loaded after {_LOAD_SECONDS:.0f} seconds. Loading goes on; try "
            "again.",
            headers={"Retry-After": "5"},
        ) from None
    return asked.classifier, version


async def _images(request: Request, limit: int) -> Sequence[bytes | UnreadableImageError]:
    """Return each image's undecoded bytes, or the error that replaces them."""
    content = await request.body()
    declared, options = parse_options_header(request.headers.get("content-type"))
    loop = asyncio.get_running_loop()
    images: Sequence[bytes | UnreadableImageError]
    match kind_of(declared.decode("latin-1").lower(), content):
        case "image":
            return [content]
        case "json":
            images = await loop.run_in_executor(_READERS, _from_json, content)
        case "form":
            read = partial(_from_form, boundary=boundary_of(options), limit=limit)
            images = await loop.run_in_executor(_READERS, read, content)
        case "zip" | "tar" | "tar.gz":
            raise UnsupportedBodyError("Send the images themselves; archives are for uploads.")
        case None:
            kinds = ", ".join(sorted(_RAW))
            raise UnsupportedBodyError(
                f"Send an image as {kinds}, or several as multipart/form-data or application/json."
            )
    if len(images) > limit:
        raise _too_many(limit)
    return images


def _too_many(limit: int) -> TooManyImagesAtOnceError:
    return TooManyImagesAtOnceError(
        f"This server takes at most {limit} images at once: send fewer."
    )


def _from_json(content: bytes) -> list[bytes | UnreadableImageError]:
    try:
        body = PredictBody.model_validate_json(json_text.utf8(content))
    except ValidationError as error:
        raise InvalidRequestError(
            "The body is not valid: see errors.", errors=field_errors(error.errors())
        ) from None
    return [_decoded(image.b64) for image in body.images]


def _decoded(b64: str) -> bytes | UnreadableImageError:
    try:
        return base64_text.decoded(b64)
    except ValueError as error:
        return UnreadableImageError(str(error))


def _from_form(content: bytes, *, boundary: bytes, limit: int) -> list[bytes]:
    # Some clients give a part neither a file name nor a content type, so both do not matter.
    images = []
    for part in parts(io.BytesIO(content), boundary, wanted=("files",), limit=len(content)):
        if part.name != "files":
            raise _not_a_form_of_images()
        images.append(bytes(part.data))
        if len(images) > limit:
            raise _too_many(limit)
    if not images:
        raise _not_a_form_of_images()
    return images


def _not_a_form_of_images() -> InvalidRequestError:
    return InvalidRequestError(
        "The form must have images as files, and nothing else.",
        errors=[FieldError("/files", "send one or more image files, and no other fields")],
    )


def _result(
    version: LoadedVersion, outcome: Any, options: PredictOptions, *, single: bool
) -> dict[str, Any]:
    if isinstance(outcome, UnreadableImageError):
        if single:
            raise UnreadableError(str(outcome))
        return {"error": {"code": UnreadableError.code, "detail": str(outcome)}}
    if isinstance(outcome, Exception):
        raise outcome
    return describe(version, outcome, options.top_k, options.false_alarms)


def _timing(answers: Sequence[Answer]) -> str:
    """Return the longest time that an image spent in each stage, in milliseconds."""
    queue, decode, infer = (
        1e3 * max((getattr(answer, stage) for answer in answers), default=0.0)
        for stage in ("queue", "decode", "infer")
    )
    return f"queue;dur={queue:.2f}, decode;dur={decode:.2f}, infer;dur={infer:.2f}"
