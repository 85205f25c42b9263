"""A classifier is renamed while a worker has its job."""

import pytest

from app.db.engine import Database
from app.services.classifiers import classifiers
from app.services.classifiers.classifiers import ClassifierPatch
from app.services.steps.publication import Outcome
from app.settings import Settings
from tests.app.services.steps.test_forgetting import claimed
from tests.databases import ONE_KIND_AT_FIRST
from tests.worker.harness import WORKSPACE, Service
from tests.worker.test_correct import attempt
from worker import child

pytestmark = ONE_KIND_AT_FIRST


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


def test_its_jobs_follow(service: Service) -> None:
    service.classifier()
    upload = service.upload("a", "b")
    first, second = service.learn(upload), service.learn(upload, on_existing="extend")
    lease, plan = claimed(service, first)
    classifiers.change(service.db, WORKSPACE, "toy", ClassifierPatch(name="game"))
    outcome = child.run(attempt(service, plan, []))
    assert isinstance(outcome, Outcome), outcome
    assert lease.publish(plan, outcome) is not None
    job = service.job(first)
    assert (job.state, job.classifier, job.version) == ("succeeded", "game", 1)
    assert classifiers.get(service.db, WORKSPACE, "game").live == 1
    _, plan = claimed(service, second)
    assert service.job(second).classifier == "game"
