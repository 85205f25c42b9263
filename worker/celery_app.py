"""Celery's configuration in a worker; `app.services.queue.broker` has what both sides share."""

from celery import Celery

from app.services.queue import broker
from app.settings import Settings


def make_celery(settings: Settings) -> Celery:
    """Build the worker's Celery application, without tasks."""
    celery = broker.make_celery(settings)
    celery.conf.update(
        # Acknowledge late and fetch one message at a time: a worker that has a job leaves the next
        # message to an idle one. Acknowledgement decides nothing else, since a message is a hint
        # that expires, and the job's lease is what survives a dead worker.
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        # The job runs in a child process. A thread waits for it, so Celery stays responsive.
        worker_pool="threads",
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # After a connection was lost while a job ran, Celery fetches fewer messages for a while. By
        # a fault of its own it then stops after the next one.
        worker_enable_prefetch_count_reduction=False,
    )
    return celery
