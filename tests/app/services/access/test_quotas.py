"""Quotas hold where requests race: together they get what is left, and no more."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import update

from app.db.engine import Database
from app.db.repositories import workspaces as workspace_rows
from app.db.tables import Job
from app.errors import ServiceError
from app.services.access.limits import Quota, StorageQuotaError, TooManyJobsError
from app.services.jobs import jobs
from app.services.steps import creation
from app.services.steps.requests import LearnRequest
from app.services.uploads import uploads
from app.services.uploads.sources import UploadLimits
from app.settings import Settings
from app.storage import open_store
from tests.worker.harness import WORKSPACE, Pictures, Service, nothing

RACERS = 8
ROOM = 3


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


def race(calls: Sequence[Callable[[], Any]]) -> list[type[ServiceError] | None]:
    """Make all calls at the same moment; return what each raised."""
    ready = Barrier(len(calls))

    def one(call: Callable[[], Any]) -> type[ServiceError] | None:
        ready.wait()
        try:
            call()
        except ServiceError as error:
            return type(error)
        return None

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def test_uploads_that_race_store_no_more_than_allowed(service: Service, database: Database) -> None:
    store = open_store(service.settings.storage_url)

    def upload(name: str, quota: Quota) -> None:
        source = Pictures([name], 2)
        limits = UploadLimits.of(service.settings)
        uploads.create(database, store, WORKSPACE, source, limits=limits, quota=quota)

    upload("the first", Quota())
    with database.reading() as session:
        size = workspace_rows.stored_bytes(session, WORKSPACE)
    # Files of noise differ by a few bytes, so there is room for the first one and ROOM more.
    quota = Quota(stored_bytes=int(size * (ROOM + 1.5)))
    names = [f"racer {number}" for number in range(RACERS)]
    raised = race([lambda name=name: upload(name, quota) for name in names])
    assert raised.count(None) == ROOM
    assert raised.count(StorageQuotaError) == RACERS - ROOM
    with database.reading() as session:
        assert workspace_rows.stored_bytes(session, WORKSPACE) <= quota.stored_bytes


def test_jobs_that_race_wait_in_no_larger_number_than_allowed(
    service: Service, database: Database
) -> None:
    names = [service.classifier(f"toy-{number}") for number in range(RACERS)]
    # One that they share would be locked by each, and so keep them apart.
    uploads_of = {name: service.upload("a", "b", count=2) for name in names}
    quota = Quota(waiting_jobs=ROOM)

    def learn(name: str) -> None:
        request = LearnRequest(uploads=[uploads_of[name]])
        creation.create(database, WORKSPACE, name, request, on_created=nothing, quota=quota)

    raised = race([lambda name=name: learn(name) for name in names])
    assert raised.count(None) == ROOM
    assert raised.count(TooManyJobsError) == RACERS - ROOM


def test_so_do_retries_that_race(service: Service, database: Database) -> None:
    names = [service.classifier(f"toy-{number}") for number in range(RACERS)]
    failed = [service.learn(service.upload("a", "b", count=2), name) for name in names]
    with database.transaction() as session:
        session.execute(update(Job).values(state="failed"))
    quota = Quota(waiting_jobs=ROOM)

    def retry(job_id: str) -> None:
        jobs.retry(database, WORKSPACE, job_id, on_created=nothing, quota=quota)

    raised = race([lambda job_id=job_id: retry(job_id) for job_id in failed])
    assert raised.count(None) == ROOM
    assert raised.count(TooManyJobsError) == RACERS - ROOM
