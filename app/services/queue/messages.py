"""Messages to workers: each carries a job's id and nothing else.

The database is the queue of record. A message is a hint that may be lost, late or duplicated.
"""

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from app.services.queue import broker
from app.settings import Settings

# kombu wraps most errors of a broker's client, but not the error answers of Redis.
_BROKER_ERRORS = (KombuError, RedisError, OSError)


class BrokerUnavailableError(Exception):
    """The broker did not take a message."""


class Messages:
    """Sends the ids of jobs to workers. Only one thread may call `send`; any may call `check`."""

    def __init__(self, settings: Settings) -> None:
        self._celery: Celery = broker.make_celery(settings)

    def send(self, job_id: str, hardware: str) -> None:
        """Hand a job's id to the broker. Raises BrokerUnavailableError within seconds."""
        try:
            self._celery.send_task(
                broker.RUN_JOB,
                args=[job_id],
                queue=broker.queue_for(hardware),
                expires=broker.MESSAGE_EXPIRES.total_seconds(),
                ignore_result=True,
                retry=False,
            )
        except _BROKER_ERRORS as error:
            raise BrokerUnavailableError(str(error)) from error

    def check(self) -> None:
        """Raise BrokerUnavailableError when the broker cannot be reached."""
        try:
            with self._celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=2)
        except _BROKER_ERRORS as error:
            raise BrokerUnavailableError(str(error)) from error

    def close(self) -> None:
        """Close the connections to the broker."""
        self._celery.close()
