"""What routes ask for: the process's shared parts, under short names.

All are coroutines, which the framework calls in place; plain functions would cost a thread each.
"""

from typing import Annotated

from fastapi import Depends, Request

from app.db.engine import Database
from app.inference.batcher import Batcher
from app.inference.registry import Registry
from app.monitoring.fleet import Fleet
from app.monitoring.process import ProcessMetrics
from app.services.access.keyring import Caller as CallerOfRequest
from app.services.jobs.event_polling import EventPoller
from app.services.queue.dispatcher import Dispatcher
from app.services.queue.messages import Messages
from app.settings import Settings
from app.storage import BlobStore


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def _store(request: Request) -> BlobStore:
    store: BlobStore = request.app.state.store
    return store


async def _tensors(request: Request) -> BlobStore:
    tensors: BlobStore = request.app.state.tensors
    return tensors


async def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


async def _batcher(request: Request) -> Batcher:
    batcher: Batcher = request.app.state.batcher
    return batcher


async def _dispatcher(request: Request) -> Dispatcher:
    dispatcher: Dispatcher = request.app.state.dispatcher
    return dispatcher


async def _watch(request: Request) -> EventPoller:
    watch: EventPoller = request.app.state.watch
    return watch


async def _messages(request: Request) -> Messages:
    messages: Messages = request.app.state.messages
    return messages


def measured_by(request: Request) -> ProcessMetrics:
    """Return what the process counts of itself."""
    measured: ProcessMetrics = request.app.state.measured
    return measured


async def _measured(request: Request) -> ProcessMetrics:
    return measured_by(request)


async def _fleet(request: Request) -> Fleet:
    fleet: Fleet = request.app.state.fleet
    return fleet


async def _caller(request: Request) -> CallerOfRequest:
    caller: CallerOfRequest = request.state.caller
    return caller


async def _workspace(request: Request) -> str:
    caller: CallerOfRequest = request.state.caller
    return caller.workspace


Config = Annotated[Settings, Depends(_settings)]
DB = Annotated[Database, Depends(_database)]
Store = Annotated[BlobStore, Depends(_store)]
# The same storage, what is read kept near.
Tensors = Annotated[BlobStore, Depends(_tensors)]
LoadedModels = Annotated[Registry, Depends(_registry)]
Queue = Annotated[Messages, Depends(_messages)]
Inference = Annotated[Batcher, Depends(_batcher)]
JobDispatcher = Annotated[Dispatcher, Depends(_dispatcher)]
Watch = Annotated[EventPoller, Depends(_watch)]
Measured = Annotated[ProcessMetrics, Depends(_measured)]
WholeFleet = Annotated[Fleet, Depends(_fleet)]
# Who asks, on routes that want a key; and that one's workspace, the only one it sees.
Caller = Annotated[CallerOfRequest, Depends(_caller)]
Workspace = Annotated[str, Depends(_workspace)]
