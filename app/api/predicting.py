"""Answers a prediction, whichever way its request came in.

A request whose version is loaded needs no SQL, no threads but the batcher's and no response model:
its answer is a plain dict, encoded once.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import orjson
from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.predict_body import images_in
from app.api.predict_views import PredictOptions, UnreadableError
from app.imaging.reading import UnreadableImageError
from app.inference.batcher import Answer, Batcher, Predictor
from app.inference.errors import VersionLoadingError
from app.inference.loaded import LoadedVersion
from app.inference.registry import Registry
from app.inference.results import describe
from app.services.access.keyring import Caller

# A picture in an answer is some 100 kB.
_MOST_EXPLAINED = 32
# How long a request waits for its version to be loaded: less than proxies wait for an answer.
_LOAD_SECONDS = 30.0


async def answer(
    request: Request, caller: Caller, classifier: str | None, options: PredictOptions
) -> Response:
    """Predict the images of a request by a caller who may; None is the only classifier.

    Raises the errors that the routes of `app.api.predict` document.
    """
    batcher: Batcher = request.app.state.batcher
    if caller.bucket is not None:
        caller.bucket.require()
    # The body first: a slow client must not hold a version that has to make room for others.
    content = await request.body()
    most = min(batcher.capacity, _MOST_EXPLAINED) if options.explain else batcher.capacity
    images = await images_in(content, request.headers.get("content-type"), most)
    describing = partial(describe, top_k=options.top_k, false_alarms=options.false_alarms)
    predicted = await predict(request, caller, classifier, options, images, describing)
    body = {
        "classifier": predicted.classifier,
        "version": predicted.version.number,
        "results": [_result(each, single=len(images) == 1) for each in predicted.outcomes],
    }
    return Response(
        orjson.dumps(body),
        media_type="application/json",
        headers={
            "Server-Timing": _timing(predicted.answer),
            **({} if caller.bucket is None else caller.bucket.headers),
        },
    )


class Predicted(NamedTuple):
    """The outcome of each image, a result or an exception, and the version that made them."""

    classifier: str
    version: LoadedVersion
    outcomes: list[Any]
    answer: Answer


async def predict(
    request: Request,
    caller: Caller,
    classifier: str | None,
    options: PredictOptions,
    images: Sequence[bytes | UnreadableImageError],
    finish: Callable[[LoadedVersion, Any], Any],
) -> Predicted:
    """Predict images; threads turn each prediction into a result by `finish`.

    Raises the errors of versions, ways to classify and limits.
    """
    models: Registry = request.app.state.registry
    batcher: Batcher = request.app.state.batcher
    name, version = await _version(models, caller.workspace, classifier, options.version)
    predictor = await _predictor(models, version, options)
    if caller.bucket is not None:
        caller.bucket.spend(len(images))
    readable = [image for image in images if isinstance(image, bytes)]
    answered = await batcher.submit(predictor, readable, partial(finish, version))
    found = iter(answered.outcomes)
    outcomes = [next(found) if isinstance(image, bytes) else image for image in images]
    return Predicted(name, version, outcomes, answered)


async def loaded(
    request: Request, caller: Caller, classifier: str, reference: str
) -> LoadedVersion:
    """Return a version once it is in memory. Raises the errors of versions."""
    models: Registry = request.app.state.registry
    _, version = await _version(models, caller.workspace, classifier, reference)
    return version


async def _predictor(
    models: Registry, version: LoadedVersion, options: PredictOptions
) -> Predictor:
    """Return what predicts as asked, which a thread builds if it is not in memory."""
    found: Predictor | None
    if options.explain:
        found = await run_in_threadpool(version.explaining, options.task, options.classify)
    elif (found := version.ready(options.task, options.classify)) is not None:
        return found
    else:
        found = await run_in_threadpool(version.predictor, options.task, options.classify)
    models.cache.resized(version)
    return found


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


def _result(outcome: dict[str, Any] | Exception, *, single: bool) -> dict[str, Any]:
    if isinstance(outcome, UnreadableImageError):
        if single:
            raise UnreadableError(str(outcome))
        return {"error": {"code": UnreadableError.code, "detail": str(outcome)}}
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _timing(answer: Answer) -> str:
    """Return the longest time that an image spent in each stage, in milliseconds."""
    queue, decode, infer = 1e3 * answer.queue, 1e3 * answer.decode, 1e3 * answer.infer
    return f"queue;dur={queue:.2f}, decode;dur={decode:.2f}, infer;dur={infer:.2f}"
