"""One worker process: Celery's consumer, the dispatcher, the heartbeat, the polling fallback."""

import os
import threading
import warnings
from typing import Any

import structlog
from celery.exceptions import SecurityWarning
from celery.signals import worker_ready, worker_shutting_down
from setproctitle import setproctitle

from app import logs, starting
from app.db.engine import Database
from app.ids import new_id
from app.services.queue.broker import DEFAULT_QUEUE, TRAIN_QUEUE
from app.services.queue.dispatcher import Dispatcher
from app.settings import Settings
from app.storage import CacheFolder
from worker import processes, tasks
from worker.celery_app import make_celery
from worker.health import Health
from worker.polling import PollingFallback
from worker.protocol import Resources
from worker.room import ImageRoom
from worker.runner import Runner

log = structlog.get_logger(__name__)


def main(settings: Settings | None = None) -> int:
    """Run a worker until SIGTERM or SIGINT; return its exit status."""
    settings = settings or Settings()
    logs.configure(settings.log_level)
    starting.say("is loading PyTorch")
    processes.start_server(settings.storage_url)
    db = Database(settings.database_url)
    dispatcher = Dispatcher(db, settings)
    # Probed even where the device is set: the worker takes jobs once the fork server is ready.
    device = processes.probe_device()
    if settings.device != "auto":
        device = settings.device
    queues = [DEFAULT_QUEUE] if device == "cpu" else [TRAIN_QUEUE, DEFAULT_QUEUE]
    worker_id = new_id("wrk")
    resources = Resources(
        storage_url=settings.storage_url,
        device=device,
        threads=settings.train_threads or len(os.sched_getaffinity(0)),
        weights_dir=settings.weights_dir,
        checkpoint_seconds=settings.checkpoint_seconds,
        cache=CacheFolder.of(settings),
        room=ImageRoom.of(settings),
        log_level=settings.log_level,
        engine=settings.engine,
    )
    runner = Runner(db, settings, worker_id, queues, resources, on_end=dispatcher.wake)
    health = Health(db, settings, worker_id, queues, device)
    health.register()

    stop = threading.Event()
    polling = PollingFallback(db, runner, queues)
    threads = [
        threading.Thread(target=loop.run, args=(stop,), name=name)
        for name, loop in (("health", health), ("polling", polling))
    ]
    for thread in threads:
        thread.start()
    dispatcher.start()
    try:
        starting.say_ready()
        log.info("worker_ready", worker=worker_id, device=device, queues=queues)
        return _consume(settings, runner, worker_id, queues)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        dispatcher.stop()
        health.unregister()
        db.close()


def _consume(settings: Settings, runner: Runner, worker_id: str, queues: list[str]) -> int:
    """Run Celery's consumer until a signal ends it; return its exit status."""
    # Celery warns root of messages that hold pickles; ours are JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    celery = make_celery(settings)
    tasks.register(celery, runner)

    def hand_back(**_: Any) -> None:
        runner.stop()

    def name_process(**_: Any) -> None:
        setproctitle("accrue worker")  # only now: Celery sets another name at its start

    worker_shutting_down.connect(hand_back, weak=False)
    worker_ready.connect(name_process, weak=False)
    worker = celery.Worker(
        hostname=worker_id,
        queues=queues,
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
