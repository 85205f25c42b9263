"""The Celery application: settings on which API processes and workers must agree."""

from datetime import timedelta
from typing import Any

from celery import Celery
from kombu import Queue

from app.services.queue.file_transport import remove_old
from app.settings import Settings

RUN_JOB = "accrue.run_job"
DEFAULT_QUEUE = "default"
TRAIN_QUEUE = "train"

# A message is only a hint: if no worker takes it in this time it expires, and another is sent.
MESSAGE_EXPIRES = timedelta(seconds=90)


def queue_for(hardware: str) -> str:
    """Return the queue of jobs that ask for this hardware (``any`` or ``gpu``)."""
    return TRAIN_QUEUE if hardware == "gpu" else DEFAULT_QUEUE


def make_celery(settings: Settings) -> Celery:
    """Build the application. It connects to the broker with the first message."""
    celery = Celery("accrue", set_as_current=False)
    celery.conf.update(
        task_queues=[Queue(DEFAULT_QUEUE), Queue(TRAIN_QUEUE)],
        task_default_queue=DEFAULT_QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        broker_connection_timeout=2,
        **_transport(settings),
    )
    return celery


def remove_expired(settings: Settings) -> None:
    """Remove expired messages, where the broker does not do so itself.

    Such messages were left by killed processes, or are for hardware that no worker has.
    """
    if _is_files(settings):
        remove_old(settings.queue_dir, MESSAGE_EXPIRES.total_seconds())


def _is_files(settings: Settings) -> bool:
    return settings.broker_url.startswith("filesystem:")


def _transport(settings: Settings) -> dict[str, Any]:
    if _is_files(settings):
        folder = settings.queue_dir
        folder.mkdir(parents=True, exist_ok=True)
        return {
            "broker_url": "filesystem://localhost",  # kombu warns of a URL without a host
            "broker_transport": "app.services.queue.file_transport:Transport",
            "broker_transport_options": {
                "data_folder_in": str(folder),
                "data_folder_out": str(folder),
                "control_folder": str(folder / "control"),
                "polling_interval": 0.05,
            },
        }
    redis = settings.broker_url.startswith(("redis://", "rediss://"))
    # A broker other than Redis has Celery's own transport.
    transport = {"broker_transport": "app.services.queue.redis_transport:Transport"}
    return {
        "broker_url": settings.broker_url,
        **(transport if redis else {}),
        "broker_transport_options": {
            # An unreachable server delays the dispatcher, which also frees lost jobs, by seconds
            # only; an overloaded server has time to answer.
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            # A process that waits for messages sends nothing: only these detect a dead server.
            "health_check_interval": 25,
            "socket_keepalive": True,
            "retry_on_timeout": True,
        },
    }
