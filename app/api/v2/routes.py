"""``/v2``: the routes of the Open Inference Protocol. A model is a classifier.

They are not in the OpenAPI document: the protocol has its own.
"""

from functools import partial
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.access import Router, needs
from app.api.deps import DB, Caller, Config, Inspection, Queue, Store, Workspace
from app.api.health import VERSION, ready
from app.api.predict_views import PredictOptions, UnreadableError
from app.api.predicting import loaded, predict
from app.api.v2.outputs import LABEL, P_KNOWN, SCORES, Row, made, requested
from app.api.v2.tensors import HEADER, answered, parse
from app.imaging.reading import UnreadableImageError
from app.inference.loaded import LoadedVersion
from app.services.classifiers import classifiers
from app.services.classifiers.references import LIVE

EXTENSIONS = ("binary_tensor_data", "classification", "model_configuration", "model_repository")
INPUT = "image"
# Classifiers of one query.
_PAGE = 200

router = Router(
    prefix="/v2", tags=["predict"], dependencies=[needs("predict")], include_in_schema=False
)
public = Router(prefix="/v2", tags=["health"], include_in_schema=False)


@public.get("")
async def server_metadata() -> dict[str, Any]:
    """Say what answers here."""
    return {"name": "accrue", "version": VERSION, "extensions": EXTENSIONS}


@public.get("/health/live")
async def live() -> dict[str, bool]:
    """Liveness check."""
    return {"live": True}


@public.get("/health/ready")
def server_ready(db: DB, store: Store, queue: Queue, inspector: Inspection) -> dict[str, bool]:
    """Readiness check, as that of ``/health/ready``."""
    ready(db, store, queue, inspector)
    return {"ready": True}


@router.get("/models/{name}/ready")
@router.get("/models/{name}/versions/{version}/ready")
async def model_ready(
    name: str, request: Request, caller: Caller, version: str = LIVE
) -> dict[str, Any]:
    """Load a version, if it is not in memory."""
    await loaded(request, caller, name, version)
    return {"name": name, "ready": True}


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}")
async def model_metadata(
    name: str, request: Request, caller: Caller, version: str = LIVE
) -> dict[str, Any]:
    """Describe the tensors of a version."""
    found = await loaded(request, caller, name, version)
    outputs = [
        {"name": each, "datatype": kind, "shape": [-1, *shape]}
        for each, kind, shape in _outputs(found)
    ]
    return {
        "name": name,
        "versions": [str(found.number)],
        "platform": "accrue",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": outputs,
    }


@router.get("/models/{name}/config")
@router.get("/models/{name}/versions/{version}/config")
async def model_config(
    name: str, request: Request, caller: Caller, config: Config, version: str = LIVE
) -> dict[str, Any]:
    """Describe a version as Triton's configuration does."""
    found = await loaded(request, caller, name, version)
    kinds = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32", "FP64": "TYPE_FP64"}
    return {
        "name": name,
        "platform": "accrue",
        "max_batch_size": config.inference_queue,
        "input": [{"name": INPUT, "data_type": "TYPE_STRING", "dims": [1]}],
        "output": [
            {"name": each, "data_type": kinds[kind], "dims": shape or [1]}
            for each, kind, shape in _outputs(found)
        ],
        "parameters": {"labels": {"string_value": "\n".join(found.labels)}},
    }


@router.post("/repository/index")
def repository_index(db: DB, workspace: Workspace) -> list[dict[str, str]]:
    """List the classifiers that have a live version."""
    found, after = [], None
    asked = partial(classifiers.page, db, workspace, prefix="", limit=_PAGE)
    while page := asked(after=after):
        found += [
            {"name": each.name, "version": str(each.live), "state": "READY", "reason": ""}
            for each in page
            if each.live is not None
        ]
        after = page[-1].name
    return found


@router.post("/models/{name}/infer", response_class=Response)
@router.post("/models/{name}/versions/{version}/infer", response_class=Response)
async def infer(
    name: str,
    request: Request,
    caller: Caller,
    version: str = LIVE,
    header_length: Annotated[str | None, Header(alias=HEADER)] = None,
) -> Response:
    """Predict images."""
    if caller.bucket is not None:
        caller.bucket.require()
    # In a thread: pixels may be many.
    asked, images = await run_in_threadpool(parse, await request.body(), header_length)
    outputs = requested(asked.outputs)
    options = PredictOptions(version, 1, None, "auto", None, explain=False)
    predicted = await predict(
        request, caller, name, options, images, lambda _version, prediction: Row.of(prediction)
    )
    for position, outcome in enumerate(predicted.outcomes):
        if isinstance(outcome, UnreadableImageError):
            raise UnreadableError(f"Image {position}: {outcome}")
        if isinstance(outcome, Exception):
            raise outcome
    body, length = answered(
        asked,
        outputs,
        made(predicted.version, predicted.outcomes, outputs),
        model_name=name,
        model_version=str(predicted.version.number),
    )
    if length is None:
        return Response(body, media_type="application/json")
    return Response(body, headers={HEADER: str(length)}, media_type="application/octet-stream")


def _outputs(version: LoadedVersion) -> list[tuple[str, str, list[int]]]:
    """Return name, kind and shape of each output, without the batch."""
    return [(LABEL, "BYTES", []), (SCORES, "FP32", [len(version.labels)]), (P_KNOWN, "FP64", [])]
