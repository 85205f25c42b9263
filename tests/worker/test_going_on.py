"""Options that later versions have from the first, whatever this release's defaults are."""

from dataclasses import replace
from typing import Any

import pytest

from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows
from app.services.classifiers import classifiers
from app.services.classifiers.classifiers import ClassifierPatch, InvalidOptionsError
from app.services.steps.plans import LearnPlan
from app.settings import Settings
from tests.app.services.steps.test_forgetting import claimed
from tests.databases import ONE_KIND_AT_FIRST
from tests.worker.harness import WORKSPACE, Service
from tests.worker.test_correct import attempt, done
from worker import child
from worker.protocol import Failure

pytestmark = ONE_KIND_AT_FIRST


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    """A service with a version of analytic, of an older release with other defaults."""
    service = Service(database, settings)
    service.classifier(
        method="analytic",
        backbone="efficientnet_lite0",
        weights="DEFAULT",
        image_size=32,
        options={"dimensions": 64, "grid": 0},
    )
    done(service, service.learn(service.upload("a", "b", count=4)))
    with database.transaction() as session:
        row = classifier_rows.find(session, WORKSPACE, "toy")
        assert row is not None
        row.spec = {**row.spec, "options": {}}
    return service


def test_a_default_that_has_changed_stays_as_it_was(service: Service) -> None:
    done(service, service.learn(service.upload("c", count=4)))
    options = service.versions()[1].spec["options"]
    assert (options["dimensions"], options["grid"]) == (64, 0)
    assert options["forgettable"] == "features"


def test_what_cannot_change_is_refused_with_a_pointer(service: Service) -> None:
    upload = service.upload("c", count=4)
    with pytest.raises(InvalidOptionsError, match="rests on dimensions 64") as raised:
        service.learn(upload, options={"dimensions": 128})
    assert [error.pointer for error in raised.value.errors] == ["/options/dimensions"]
    # The same, and what may change.
    done(service, service.learn(upload, options={"dimensions": 64, "alpha": 0.5}))
    assert service.versions()[1].spec["options"]["alpha"] == 0.5


def test_what_cannot_change_is_refused_of_the_classifier_too(service: Service) -> None:
    def changed(**options: Any) -> None:
        patch = ClassifierPatch.model_validate({"options": options})
        classifiers.change(service.db, WORKSPACE, "toy", patch)

    with pytest.raises(InvalidOptionsError, match="rests on grid 0") as raised:
        changed(grid=2)
    assert [error.pointer for error in raised.value.errors] == ["/options/grid"]
    changed(alpha=0.5, grid=0)
    changed(grid=None)


def test_a_version_that_became_the_base_meanwhile_is_looked_at_again(service: Service) -> None:
    _, plan = claimed(service, service.learn(service.upload("c", count=4)))
    assert isinstance(plan, LearnPlan)
    other = replace(plan, spec=plan.spec.model_copy(update={"options": {"grid": 2}}))
    failed = child.run(attempt(service, other, []))
    assert isinstance(failed, Failure)
    assert "rests on grid 0" in failed.detail
