"""The Celery task. It is thin: a message names a job and nothing else."""

from celery import Celery

from app.services.queue.broker import RUN_JOB
from worker.runner import Runner


def register(celery: Celery, runner: Runner) -> None:
    """Register the task, which gives the job that a message names to the runner."""

    @celery.task(name=RUN_JOB)
    def run_job(job_id: str) -> None:
        runner.hear(job_id)
