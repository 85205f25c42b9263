"""The version that a job starts from, by its number or an alias."""

import pytest

from app.db.engine import Database
from app.services.classifiers import lineage, versions
from app.services.classifiers.versions import VersionInUseError
from app.services.jobs import jobs
from app.settings import Settings
from tests.app.services.steps.test_forgetting import claimed, name_version
from tests.app.services.steps.test_learning import finish, start
from tests.worker.harness import WORKSPACE, Service


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


def test_a_job_starts_from_what_an_alias_names_then(service: Service) -> None:
    service.classifier()
    for label in "ab":
        lease, plan = start(service, service.upload(label, count=4))
        finish(service, lease, plan)
    with pytest.raises(lineage.UnknownBaseVersionError):
        service.learn(service.upload("c"), base_version="canary")
    name_version(service, "canary", 1)
    job_id = service.learn(service.upload("c", count=4), base_version="canary")
    name_version(service, "canary", 2)
    service.learn(service.upload("d", count=4), base_version=1)
    with pytest.raises(VersionInUseError, match="job"):
        versions.delete(service.db, WORKSPACE, "toy", "1")
    _, plan = claimed(service, job_id)
    assert plan.base_version_id == service.versions()[1].id
    assert jobs.get(service.db, WORKSPACE, job_id).request["base_version"] == "canary"
