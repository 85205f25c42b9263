"""From uploads to a plan, and from an outcome to a version."""

from typing import Any

import pytest

from app.db.engine import Database
from app.db.repositories import learning as learning_rows
from app.db.repositories.learning import SizedImage
from app.db.tables import Alias, Version
from app.services.jobs import events
from app.services.steps.learning import NoTrainingImagesError
from app.services.steps.plans import LearnPlan
from app.services.steps.publication import Outcome
from app.settings import Settings
from app.storage import open_store
from tests.databases import ONE_KIND_AT_FIRST
from tests.worker.harness import WORKSPACE, Service, metrics_of
from worker.lease import Lease


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


def start(service: Service, *uploads: str, **fields: Any) -> tuple[Lease, LearnPlan]:
    job_id = service.learn(uploads[0], uploads=list(uploads), **fields)
    lease = Lease.claim(service.db, service.settings, job_id, "wrk_1")
    assert lease is not None
    return lease, lease.plan()


def finish(
    service: Service,
    lease: Lease,
    plan: LearnPlan,
    *,
    kept: int = 2,
    accuracy: dict[str, float] | None = None,
) -> int:
    """Publish what a method with a memory of `kept` images a class would make."""
    store = open_store(service.settings.storage_url)
    data = plan.job_id.encode()
    rankings = {}
    for column, planned in enumerate(plan.classes):
        fresh = [image.sha256 for image in plan.fresh if image.column == column]
        if fresh:
            rankings[column] = [*(image.sha256 for image in planned.exemplars), *fresh][:kept]
    outcome = Outcome(
        spec=plan.spec,
        parts={"head": SizedImage(store.put(data), len(data))},
        rankings=rankings,
        kept=(kept,) * len(plan.classes),
        metrics=metrics_of(plan, 0.5, accuracy or {}),
        warnings=["Beware."],
    )
    number = lease.publish(plan, outcome)
    assert number is not None
    return number


def events_of(service: Service, job_id: str) -> list[str]:
    found = events.page(service.db, WORKSPACE, job_id, after=0, limit=1000)
    return [event.message for event in found]


def live(service: Service) -> int:
    with service.db.reading() as session:
        (number,) = session.query(Version.number).join(Alias, Alias.version_id == Version.id).one()
        return int(number)


def test_a_first_plan(service: Service) -> None:
    service.classifier(validation_fraction=0.29)
    uploads = [service.upload("b", count=10), service.upload("a", "b", count=7)]
    tests = service.upload("a", count=3, split="test")
    _, plan = start(service, *uploads, tests, options={"epochs": 7})
    # The first seven images of b were sent twice, and count once.
    assert [(c.label, c.index, c.task, c.train_images) for c in plan.classes] == [
        ("b", 0, 0, 8),
        ("a", 1, 0, 5),
    ]
    assert [len(c.new_held_out) for c in plan.classes] == [2, 2 + 3]
    assert [image.column for image in plan.fresh] == [0] * 8 + [1] * 5
    assert all(image.size > 0 for image in plan.fresh)
    held_out = {sha256 for c in plan.classes for sha256 in c.new_held_out}
    assert not held_out & {image.sha256 for image in plan.fresh}
    assert (plan.base_version_id, plan.parts, plan.history) == (None, {}, None)
    assert plan.spec.options["epochs"] == 7
    assert plan.spec.options["batch_size"] == 8


def test_versions_carry_what_came_before(service: Service) -> None:
    service.classifier(validation_fraction=0.2)
    lease, first = start(service, service.upload("a", "b"))
    assert finish(service, lease, first, kept=3) == 1
    lease, second = start(service, service.upload("c"))
    assert second.base_version_id == service.versions()[0].id
    assert [(c.label, c.index, c.task, c.known) for c in second.classes] == [
        ("a", 0, 0, True),
        ("b", 1, 0, True),
        ("c", 2, 1, False),
    ]
    assert [len(c.exemplars) for c in second.classes] == [3, 3, 0]
    assert [image.sha256 for image in second.classes[0].exemplars] == [
        image.sha256 for image in first.fresh if image.column == 0
    ][:3]
    assert [c.held_out for c in second.classes] == [
        *(c.new_held_out for c in first.classes),
        (),
    ]
    assert second.history is not None
    assert list(second.parts) == ["head"]
    assert finish(service, lease, second, kept=2) == 2
    one, two = service.versions()
    assert two.parent_id == one.id
    assert [v.memory["exemplars"] for v in (one, two)] == [6, 6]
    assert [v.memory["held_out"] for v in (one, two)] == [4, 6]
    with service.db.reading() as session:
        kept = learning_rows.exemplars(session, two.id)
    # Old rankings are shared, and fewer of their images kept.
    assert kept[0] == list(second.classes[0].exemplars[:2])
    stored = sum(image.size for ranked in kept.values() for image in ranked)
    assert two.memory["bytes"] == stored
    assert live(service) == 2


def test_an_image_is_never_both_trained_on_and_measured(service: Service) -> None:
    service.classifier(validation_fraction=0.5)
    lease, first = start(service, service.upload("a", count=8))
    finish(service, lease, first, kept=2)
    again = service.upload("a", count=12)
    tests = service.upload("a", count=8, split="test")
    _, second = start(service, again, tests, on_existing="extend")
    (extended,) = second.classes
    trained = {image.sha256 for image in first.fresh}
    fresh = {image.sha256 for image in second.fresh}
    measured = {*extended.held_out, *extended.new_held_out}
    assert not measured & (trained | fresh)
    assert set(extended.held_out) == set(first.classes[0].new_held_out)
    # Four of the twelve are new, half of them held out; of the old, two are exemplars anyway.
    assert len(extended.new_held_out) == 2 + 8
    assert len(fresh) == 2 + (4 - 2)
    # Those two were trained on before, and are counted once.
    assert extended.train_images == 4 + 2


@ONE_KIND_AT_FIRST
def test_one_image_under_two_labels_is_on_one_side_for_both(service: Service) -> None:
    service.classifier(validation_fraction=0)
    tests = service.upload("a", count=3, split="test", like="one")
    train, other = service.upload("a", count=2), service.upload("b", count=5, like="one")
    _, plan = start(service, train, other, tests)
    assert [c.train_images for c in plan.classes] == [2, 5 - 3]
    service.classifier("bare", validation_fraction=0)
    with pytest.raises(NoTrainingImagesError, match="'b'"):
        start(service, train, service.upload("b", count=3, like="one"), tests, name="bare")


@ONE_KIND_AT_FIRST
def test_nothing_new_is_refused(service: Service) -> None:
    service.classifier(validation_fraction=0)
    upload = service.upload("a", count=2)
    lease, plan = start(service, upload)
    finish(service, lease, plan, kept=2)
    with pytest.raises(NoTrainingImagesError):
        start(service, upload, on_existing="extend")


@ONE_KIND_AT_FIRST
def test_indices_and_tasks_follow_the_chain_and_numbers_the_classifier(service: Service) -> None:
    service.classifier()
    for label in "ab":
        lease, plan = start(service, service.upload(label, count=4))
        finish(service, lease, plan)
    lease, plan = start(service, service.upload("c", count=4), base_version=1)
    assert [(c.label, c.index, c.task) for c in plan.classes] == [("a", 0, 0), ("c", 1, 1)]
    assert finish(service, lease, plan) == 3
    _, _, third = service.versions()
    assert third.parent_id == service.versions()[0].id


@pytest.mark.parametrize(
    ("promotion", "after", "goes_live"),
    [
        ({"policy": "always"}, 0.1, True),
        ({"policy": "manual"}, 0.9, False),
        ({"policy": "guarded", "max_accuracy_drop": 0.2}, 0.65, True),
        ({"policy": "guarded", "max_accuracy_drop": 0.2}, 0.55, False),
    ],
)
@ONE_KIND_AT_FIRST
def test_promotion(
    service: Service, promotion: dict[str, Any], after: float, goes_live: bool
) -> None:
    service.classifier(validation_fraction=0.2, promotion=promotion)
    lease, plan = start(service, service.upload("a"))
    finish(service, lease, plan, accuracy={"a": 0.8})
    assert live(service) == 1
    lease, plan = start(service, service.upload("b"))
    # The accuracy of the new class does not count.
    finish(service, lease, plan, accuracy={"a": after, "b": 1.0})
    assert live(service) == (2 if goes_live else 1)
    assert service.event_types(plan.job_id)[-3:] == ["warning", "published", "succeeded"]


@pytest.mark.parametrize(
    ("after", "measured", "goes_live", "said"),
    [
        (
            {"a": 0.9, "c": 1.0},
            True,
            False,
            "classes of version 2 accuracy changed by -0.350",
        ),
        ({}, True, False, "changed by -0.800"),
        ({}, False, True, "unguarded: nothing was measured to compare it with version 2"),
    ],
)
@ONE_KIND_AT_FIRST
def test_guarded_promotion_compares_with_the_version_that_is_live(
    service: Service, after: dict[str, float], measured: bool, goes_live: bool, said: str
) -> None:
    """A version learnt from an older one lacks what the live one has learnt since."""
    guarded = {"policy": "guarded", "max_accuracy_drop": 0.2}
    service.classifier(validation_fraction=0.2, promotion=guarded)
    for label, accuracy in (("a", {"a": 0.8}), ("b", {"a": 0.8, "b": 0.8})):
        lease, plan = start(service, service.upload(label))
        finish(service, lease, plan, accuracy=accuracy if measured else {})
    assert live(service) == 2
    lease, plan = start(service, service.upload("c"), base_version=1)
    finish(service, lease, plan, accuracy=after)
    assert live(service) == (3 if goes_live else 2)
    assert said in events_of(service, plan.job_id)[-1]


@ONE_KIND_AT_FIRST
def test_under_manual_promotion_the_newest_descendant_is_built_on(service: Service) -> None:
    service.classifier(promotion={"policy": "manual"})
    for label in "ab":
        lease, plan = start(service, service.upload(label, count=4))
        finish(service, lease, plan)
    assert live(service) == 1
    _, plan = start(service, service.upload("c", count=4))
    assert plan.base_version_id == service.versions()[1].id
