"""What routes ask for: the parts that one process shares, under short names."""

from typing import Annotated, Any

from fastapi import Depends, Request

from app.api.together import Together
from app.db.engine import Database
from app.inference.exporting.exports import Exports
from app.inference.registry import Registry
from app.monitoring.fleet import Fleet
from app.monitoring.process import ProcessMetrics
from app.services.access.idempotency import RequestsInProgress
from app.services.access.keyring import Caller as CallerOfRequest
from app.services.classifiers.thumbnails import Thumbnails
from app.services.jobs.event_polling import EventPoller
from app.services.label_studio.server import LabelStudio
from app.services.label_studio.training import Training
from app.services.queue.dispatcher import Dispatcher
from app.services.queue.messages import Messages
from app.services.upkeep.inspector import Inspector
from app.settings import Settings
from app.storage import BlobStore, TensorStore


def _shared(name: str) -> Any:
    """Return the dependency on ``app.state.name``, which `create_app` has set."""

    # A coroutine: FastAPI calls it in place, and would call a plain function in a thread.
    async def get(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(get)


Config = Annotated[Settings, _shared("settings")]
DB = Annotated[Database, _shared("database")]
Store = Annotated[BlobStore, _shared("store")]
# The same storage behind a cache on the local disk.
Tensors = Annotated[TensorStore, _shared("tensors")]
Thumbs = Annotated[Thumbnails, _shared("thumbnails")]
ExportedFiles = Annotated[Exports, _shared("exports")]
LoadedModels = Annotated[Registry, _shared("registry")]
Processes = Annotated[Together, _shared("together")]
Queue = Annotated[Messages, _shared("messages")]
JobDispatcher = Annotated[Dispatcher, _shared("dispatcher")]
EventPolling = Annotated[EventPoller, _shared("event_poller")]
Metrics = Annotated[ProcessMetrics, _shared("metrics")]
FleetMetrics = Annotated[Fleet, _shared("fleet")]
Inspection = Annotated[Inspector, _shared("inspector")]
# Only where the settings name a Label Studio.
LabelStudioImages = Annotated[LabelStudio, _shared("label_studio")]
LabelStudioTraining = Annotated[Training, _shared("label_studio_training")]
InProgress = Annotated[RequestsInProgress, _shared("in_progress")]


async def _caller(request: Request) -> CallerOfRequest:
    caller: CallerOfRequest = request.state.caller
    return caller


Caller = Annotated[CallerOfRequest, Depends(_caller)]


async def _workspace(caller: Caller) -> str:
    return caller.workspace


# The workspace of the caller's key: the only one that the caller sees.
Workspace = Annotated[str, Depends(_workspace)]
