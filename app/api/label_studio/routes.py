"""``/label-studio/{classifier}``: the URL of an ML backend of Label Studio, one per classifier.

They are not in the OpenAPI document: the protocol is Label Studio's.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.access import Router, needs
from app.api.deps import DB, Caller, LabelStudioImages, LabelStudioTraining, Workspace
from app.api.label_studio import results
from app.api.label_studio.bodies import PredictBody, SetupBody, Task, TrainBody, WebhookBody
from app.api.predict_views import PredictOptions, UnreadableError
from app.api.predicting import predict
from app.api.problems import InvalidRequestError
from app.errors import FieldError
from app.imaging.reading import UnreadableImageError
from app.services.classifiers import classifiers
from app.services.classifiers.references import LIVE
from app.services.label_studio.labelling_config import parse
from app.services.label_studio.server import LabelStudio, NotFetchedError
from app.services.label_studio.training import Asked, TrainingView

# Tasks whose images are fetched side by side, and are in memory.
_AT_ONCE = 16
# How long training is waited for: less than Label Studio waits for an answer, which is 100 seconds.
_TRAIN_SECONDS = 60.0
_START_TRAINING = "START_TRAINING"

log = structlog.get_logger(__name__)

router = Router(prefix="/label-studio/{name}", tags=["label-studio"], include_in_schema=False)
_PREDICTS = [needs("predict", or_password=True)]
_TRAINS = [needs("train", or_password=True)]


@router.get("/health", dependencies=_PREDICTS)
def health(name: str, db: DB, workspace: Workspace) -> dict[str, str]:
    """Say that the classifier exists."""
    classifiers.get(db, workspace, name)
    return {"status": "UP"}


@router.post("/setup", dependencies=_PREDICTS)
def setup(name: str, body: SetupBody, db: DB, workspace: Workspace) -> dict[str, str | None]:
    """Say which version is live, once the project's labelling config is one of images."""
    parse(body.labelling_config)
    live = classifiers.get(db, workspace, name).live
    return {"model_version": None if live is None else results.model_version(name, live)}


@router.post("/predict", dependencies=_PREDICTS)
async def predict_tasks(
    name: str, body: PredictBody, request: Request, caller: Caller, label_studio: LabelStudioImages
) -> dict[str, Any]:
    """Predict tasks; those without an image that can be read have no prediction."""
    if caller.bucket is not None:
        caller.bucket.require()
    config = await run_in_threadpool(parse, body.labelling_config)
    finish = partial(results.predicted, classifier=name, config=config)
    options = PredictOptions(LIVE, 1, None, "auto", None, explain=False)
    outcomes: list[Any] = []
    for start in range(0, len(body.tasks), _AT_ONCE):
        images = await _images(label_studio, body.tasks[start : start + _AT_ONCE], config.field)
        outcomes += (await predict(request, caller, name, options, images, finish)).outcomes
    return {"results": _answered(name, body.tasks, outcomes)}


@router.post("/train", dependencies=_TRAINS)
async def train(
    name: str, body: TrainBody, response: Response, caller: Caller, training: LabelStudioTraining
) -> TrainingView:
    """Learn what is annotated in a project."""
    asked = Asked(caller.workspace, name, body.project)
    running = training.start(asked, caller.quota)
    try:
        async with asyncio.timeout(_TRAIN_SECONDS):
            return await asyncio.shield(asyncio.wrap_future(running))
    except TimeoutError:
        response.status_code = 202
        return TrainingView(status="collecting")


@router.post("/webhook", dependencies=_TRAINS)
async def webhook(
    name: str, body: WebhookBody, response: Response, caller: Caller, training: LabelStudioTraining
) -> TrainingView | dict[str, str]:
    """Train where that is asked for. Annotations are read from Label Studio when it trains."""
    if body.action != _START_TRAINING:
        return {"status": "noted"}
    if body.project is None:
        raise InvalidRequestError(
            "Say which project is to be learnt.", errors=[FieldError("/project", "missing")]
        )
    return await train(name, TrainBody(project=body.project), response, caller, training)


async def _images(
    label_studio: LabelStudio, tasks: Sequence[Task], field: str
) -> list[bytes | UnreadableImageError]:
    async def one(task: Task) -> bytes | UnreadableImageError:
        try:
            return await label_studio.image(task.id, task.data, field)
        except NotFetchedError as error:
            return UnreadableImageError(str(error))

    return await asyncio.gather(*map(one, tasks))


def _answered(name: str, tasks: Sequence[Task], outcomes: Sequence[Any]) -> list[Any]:
    """Return the predictions of tasks.

    Raises what happened besides images that cannot be read, and UnreadableError where none can.
    """
    unread = []
    for task, outcome in zip(tasks, outcomes, strict=True):
        if isinstance(outcome, UnreadableImageError):
            unread.append(f"Task {task.id}: {outcome}")
        elif isinstance(outcome, Exception):
            raise outcome
    if unread:
        log.warning("label_studio_images", classifier=name, unread=len(unread), first=unread[0])
    if tasks and len(unread) == len(tasks):
        raise UnreadableError(f"No task has an image that can be read. {unread[0]}")
    return [results.NONE if isinstance(each, Exception) else each for each in outcomes]
