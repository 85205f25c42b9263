"""Corrections as a worker makes them, with a method that keeps exemplars; and one is stopped."""

import pytest

from app.db.engine import Database
from app.db.repositories import learning as learning_rows
from app.services.steps.plans import CorrectPlan, Plan
from app.services.steps.publication import Outcome
from app.settings import Settings
from tests.app.services.steps.test_forgetting import claimed, held_out
from tests.databases import ONE_KIND_AT_FIRST
from tests.worker.harness import NO_CACHE, ROOM, Service
from worker import child
from worker.attempt import Attempt
from worker.protocol import Message, Resources, Stopped

pytestmark = ONE_KIND_AT_FIRST


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


def attempt(service: Service, plan: Plan, said: list[Message]) -> Attempt:
    resources = Resources(service.settings.storage_url, "cpu", 1, None, 600.0, NO_CACHE, ROOM)
    return Attempt(plan, resources, said.append)


def done(service: Service, job_id: str) -> tuple[Plan, Outcome]:
    """Do a job in this process and publish what it makes."""
    lease, plan = claimed(service, job_id)
    outcome = child.run(attempt(service, plan, []))
    assert isinstance(outcome, Outcome), outcome
    assert lease.publish(plan, outcome) is not None
    return plan, outcome


def exemplars(service: Service, number: int) -> dict[int, list[str]]:
    version = service.versions()[number - 1]
    with service.db.reading() as session:
        found = learning_rows.exemplars(session, version.id)
        return {index: [image.sha256 for image in images] for index, images in found.items()}


def test_what_a_request_notes_is_of_the_version_that_it_makes(service: Service) -> None:
    service.classifier(validation_fraction=0.2, memory={"exemplars": 8})
    done(service, service.learn(service.upload("a", "b", count=4), description="The first."))
    noted = {"description": "One was wrong.", "metadata": {"ticket": "42"}}
    done(service, service.correct({exemplars(service, 1)[0][0]: "b"}, **noted))
    done(service, service.forget("a"))
    found = [version.annotations for version in service.versions()]
    assert found == [{"description": "The first."}, noted, {}]


def test_exemplars_and_held_out_images_are_corrected(service: Service) -> None:
    service.classifier(validation_fraction=0.2, memory={"exemplars": 8})
    done(service, service.learn(service.upload("a", "b", count=10)))
    before, measured = exemplars(service, 1), held_out(service, 1)
    moved, left_out, relabelled = before[0][1], before[1][0], measured[0][0]
    job_id = service.correct({moved: "b", left_out: None, relabelled: "b"})
    plan, outcome = done(service, job_id)
    assert isinstance(plan, CorrectPlan)
    after = exemplars(service, 2)
    assert after[0] == [sha256 for sha256 in before[0] if sha256 != moved]
    # Three were left, and the new one makes four, which is a class's share.
    assert set(after[1]) == {*before[1], moved} - {left_out}
    assert held_out(service, 2) == {0: measured[0][1:], 1: [*measured[1], relabelled]}
    assert outcome.residual == ("backbone", "head")
    assert outcome.metrics["measured_on"] == 4
    assert exemplars(service, 1) == before
    version = service.versions()[1]
    assert version.memory["exemplars"] == 3 + 4
    # The next step starts from it.
    done(service, service.learn(service.upload("c", count=10)))
    assert set(exemplars(service, 3)[1]) <= set(after[1])


def test_a_corrected_held_out_image_is_no_forgetting(service: Service) -> None:
    service.classifier(validation_fraction=0.2)
    for label in "ab":
        done(service, service.learn(service.upload(label, count=10)))
    first, last = service.metrics(service.versions()[1])["matrix"]
    done(service, service.correct({held_out(service, 2)[0][0]: None}))
    corrected = service.metrics(service.versions()[2])
    earlier = corrected["matrix"][:-1]
    assert earlier == [[None], [None, last[1]]]
    # What of the second task is measured is as before, and the first task starts anew.
    assert corrected["forgetting"] == last[1] - corrected["matrix"][-1][1]
    assert first[0] is not None


def test_a_full_class_drops_an_exemplar_for_the_one_that_comes(service: Service) -> None:
    service.classifier(validation_fraction=0, memory={"exemplars": 6})
    done(service, service.learn(service.upload("a", "b", count=10)))
    before = exemplars(service, 1)
    done(service, service.correct({before[0][0]: "b"}))
    after = exemplars(service, 2)
    assert after[0] == before[0][1:]
    assert len(after[1]) == 3
    assert set(after[1]) < {*before[1], before[0][0]}


def test_a_correction_that_is_cancelled_leaves_nothing(service: Service) -> None:
    service.classifier(validation_fraction=0.2)
    done(service, service.learn(service.upload("a", "b", count=10)))
    job_id = service.correct({held_out(service, 1)[0][0]: "b"})
    lease, plan = claimed(service, job_id)
    said: list[Message] = []
    stopped = attempt(service, plan, said)
    stopped.stop.give(saving=False)
    assert isinstance(child.run(stopped), Stopped)
    # Whatever was made before the cancel was seen is not published.
    outcome = child.run(attempt(service, plan, said))
    assert isinstance(outcome, Outcome)
    service.cancel(job_id)
    assert lease.publish(plan, outcome) is None
    lease.cancelled()
    assert len(service.versions()) == 1
    # Tried again, it is made, and no more than once.
    service.retry(job_id)
    lease, plan = claimed(service, job_id)
    assert lease.publish(plan, outcome) is not None
    assert lease.publish(plan, outcome) is None
    assert len(service.versions()) == 2
