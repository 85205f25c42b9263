"""The Celery tasks: thin, because a message says nothing but which job to look at."""

from celery import Celery

from app.services.queue.broker import RUN_JOB
from worker.runner import Runner


def register(celery: Celery, runner: Runner) -> None:
    """Have the application hand the jobs that messages name to the runner."""

    @celery.task(name=RUN_JOB)
    def run_job(job_id: str) -> None:
        runner.hear(job_id)
