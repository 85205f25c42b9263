"""The HTTP service: `create_app(settings)`."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache

from fastapi import APIRouter, Depends, FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from app import logs
from app.api import (
    access,
    advice,
    aliases,
    classifiers,
    deliveries,
    doctor,
    documentation,
    events,
    exports,
    health,
    idempotency,
    jobs,
    judgements,
    keys,
    layouts,
    methods,
    metrics,
    openapi,
    predict,
    problem_pages,
    problems,
    root,
    similar,
    tickets,
    uploads,
    version_files,
    versions,
    web,
)
from app.api.compression import Compression
from app.api.csrf import CsrfGuard
from app.api.empty_parameters import EmptyParameters
from app.api.head import HeadAsGet
from app.api.label_studio import routes as label_studio_routes, running as label_studio
from app.api.middleware import WITHOUT_FILES, BodyLimit, BodyPace, RequestContext, RequestMetrics
from app.api.predict_path import PredictPath
from app.api.predict_queries import KnownQueries
from app.api.query import require_known
from app.api.together import Together
from app.api.v2 import routes as v2
from app.db.engine import Database
from app.inference.batcher import Batcher
from app.inference.budget import inference_threads
from app.inference.exporting.exports import Exports
from app.inference.registry import Registry
from app.monitoring.fleet import Fleet
from app.monitoring.process import ProcessMetrics
from app.services.access.idempotency import ReplayedError, RequestsInProgress
from app.services.access.keyring import KeyRing
from app.services.classifiers.thumbnails import Thumbnails
from app.services.jobs.event_polling import EventPoller
from app.services.jobs.webhook_sender import WebhookSender
from app.services.queue.dispatcher import Dispatcher
from app.services.queue.messages import Messages
from app.services.upkeep.housekeeper import Housekeeper
from app.services.upkeep.inspector import Inspector
from app.settings import Settings
from app.siblings import Siblings
from app.storage import CacheFolder, open_store, with_cache

_MEGABYTE = 10**6
# How many images of the largest size the body of one /predict may hold, in base64.
_PREDICT_IMAGES = 4
# The paths of routes that take images.
_UPLOADS = re.compile(r"/v1/uploads(/[^/]+/images)?|/v1/classifiers/[^/]+/learn")
_PREDICTIONS = re.compile(
    r"(/v1/classifiers/[^/]+)?/predict|/v2/models/.+/infer"
    # With images in base64, or all annotations of a project.
    r"|/label-studio/[^/]+/(predict|train|webhook)"
)
# The names of a folder's files.
_LAYOUT = "/v1/uploads/layout"


def create_app(settings: Settings, siblings: Siblings | None = None) -> FastAPI:
    """Build the service. Its threads run between the application's startup and shutdown.

    It may have siblings, other processes behind the same port.

    Raises UnguardedRouteError for a route that neither names scopes nor is public.
    """
    process_metrics = ProcessMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        logs.configure(settings.log_level)
        database = Database(settings.database_url)
        store = open_store(settings.storage_url)
        tensors = with_cache(store, CacheFolder.of(settings))
        registry = Registry(
            database,
            tensors,
            store,
            settings,
            on_load=process_metrics.versions.count,
            on_build=process_metrics.versions.count_build,
        )
        batcher = Batcher(
            threads=inference_threads(settings),
            batch=settings.inference_batch,
            capacity=settings.inference_queue,
            on_batch=process_metrics.predict.count,
        )
        dispatcher = Dispatcher(database, settings)
        housekeeper = Housekeeper(database, store, settings)
        app.state.inspector = inspector = Inspector(database, store)
        app.state.database, app.state.store, app.state.tensors = database, store, tensors
        app.state.registry, app.state.batcher, app.state.dispatcher = registry, batcher, dispatcher
        messages = app.state.messages = Messages(settings)
        app.state.exports, app.state.fleet = Exports(settings), Fleet(database)
        app.state.event_poller = event_poller = EventPoller(database, settings.event_streams)
        process_metrics.observe(settings, batcher, registry, event_poller)
        loops = [
            asyncio.create_task(event_poller.run()),
            asyncio.create_task(WebhookSender(database, settings).run()),
        ]
        if settings.keys == "required":
            app.state.keyring = KeyRing(database, settings)
            loops.append(asyncio.create_task(app.state.keyring.run()))
        app.state.together = together = Together(
            siblings or Siblings(), process_metrics, registry, app.state.keyring
        )
        await together.start()
        loops.append(asyncio.create_task(together.share_spent()))
        for part in (batcher, registry, dispatcher, housekeeper, inspector):
            part.start()
        try:
            async with label_studio.running(app, database, store, settings, dispatcher.wake):
                yield
        finally:
            # Graceful shutdown: the server has answered every request that it accepted.
            together.close()
            await run_in_threadpool(housekeeper.stop)
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            for stop in (
                app.state.exports.stop,
                inspector.stop,
                dispatcher.stop,
                registry.stop,
                batcher.close,
            ):
                await run_in_threadpool(stop)
            messages.close()
            database.close()

    app = FastAPI(
        title="Accrue",
        version=health.VERSION,
        summary="Teaches an image classifier new classes without forgetting, and serves it.",
        lifespan=lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        # Behind a TLS proxy a redirect would send clients, and their keys, to plain HTTP.
        redirect_slashes=False,
    )
    app.state.settings, app.state.metrics = settings, process_metrics
    app.state.keyring = None  # until the startup, and for good where keys are off
    app.state.in_progress = RequestsInProgress()
    app.state.known_queries, app.state.thumbnails = KnownQueries(), Thumbnails()
    problems.install(app)
    app.add_exception_handler(ReplayedError, idempotency.on_replayed)
    app.router.routes.extend(_routes(with_label_studio=settings.label_studio_url is not None))
    app.webhooks.include_router(deliveries.sent)
    access.check_routes(app)
    _add_middleware(app, settings, process_metrics)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    return app


@cache
def _routes(*, with_label_studio: bool) -> list[BaseRoute]:
    """Return the routes of all resources: applications of a process with the same share them.

    FastAPI analyses a route when it is first used, which takes milliseconds for each.
    """
    router = APIRouter(
        dependencies=[Depends(require_known)],
        generate_unique_id_function=openapi.operation_id,
    )
    # Routes are tried in this order; most requests are predictions.
    for resource in (
        predict,
        classifiers,
        versions,
        version_files,
        exports,
        aliases,
        uploads,
        layouts,
        judgements,
        similar,
        jobs,
        advice,
        events,
        tickets,
        deliveries,
        keys,
        methods,
        health,
        doctor,
        metrics,
        root,
        problem_pages,
        documentation,
        web,
    ):
        router.include_router(resource.router)
    router.include_router(v2.public)
    router.include_router(v2.router)
    if with_label_studio:
        router.include_router(label_studio_routes.router)
    return router.routes


def _add_middleware(app: FastAPI, settings: Settings, process_metrics: ProcessMetrics) -> None:
    """Add the middleware of all routes, the innermost first."""
    app.add_middleware(
        PredictPath,
        routes=predict.router.routes,
        known=app.state.known_queries,
        handlers=app.exception_handlers,
    )
    app.add_middleware(EmptyParameters)
    if settings.keys == "off":
        app.add_middleware(CsrfGuard, own_name=settings.host, allowed=settings.cors_origins)
    app.add_middleware(Compression)
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, limit=_body_limits(settings))
    app.add_middleware(BodyPace, seconds=settings.body_seconds)
    app.add_middleware(RequestContext)
    if settings.cors_origins:
        # Keys are sent by scripts, in a header: no cookies, so no credentials.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"),
            allow_headers=("*",),
            expose_headers=("*",),
        )
    app.add_middleware(RequestMetrics, metrics=process_metrics.http)


def _body_limits(settings: Settings) -> Callable[[str], int]:
    uploading = settings.max_body_megabytes * _MEGABYTE
    predicting = settings.max_image_megabytes * _PREDICT_IMAGES * _MEGABYTE

    def limit(path: str) -> int:
        # Match whole paths: the body of any other path is read into memory.
        if _UPLOADS.fullmatch(path):
            return uploading
        large = path == _LAYOUT or _PREDICTIONS.fullmatch(path)
        return predicting if large else WITHOUT_FILES

    return limit
