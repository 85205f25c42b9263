"""What the routes share with one another while the service runs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from app.db.engine import Database
from app.services.label_studio.server import LabelStudio
from app.services.label_studio.training import Training
from app.settings import Settings
from app.storage import BlobStore


@asynccontextmanager
async def running(
    app: FastAPI,
    database: Database,
    store: BlobStore,
    settings: Settings,
    on_queued: Callable[[], None],
) -> AsyncIterator[None]:
    """Speak with the Label Studio of the settings, if they name one."""
    if settings.label_studio_url is None:
        yield
        return
    label_studio = app.state.label_studio = LabelStudio(settings)
    training = Training(database, store, settings, on_queued)
    app.state.label_studio_training = training
    try:
        yield
    finally:
        await run_in_threadpool(training.stop)
        await label_studio.aclose()
