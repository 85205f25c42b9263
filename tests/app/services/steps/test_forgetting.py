"""Forgetting and purging, on both databases: from the request to the rows that are left."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from app.db.engine import Database
from app.db.repositories import (
    aliases as alias_rows,
    learning as learning_rows,
    versions as version_rows,
)
from app.db.repositories.learning import SizedImage
from app.db.tables import Alias, Blob, Image, Ranking, RankingImage, Version, VersionClass
from app.services.jobs import jobs
from app.services.jobs.jobs import NoReportError
from app.services.steps.forgetting import CannotForgetError, UnknownClassError
from app.services.steps.plans import ForgetPlan, Plan
from app.services.steps.publication import Outcome
from app.services.steps.purging import CannotPurgeError
from app.services.uploads import uploads
from app.services.uploads.uploads import UploadNotFoundError
from app.settings import Settings
from app.storage import open_store
from tests.databases import ONE_KIND_AT_FIRST, images_of_upload
from tests.worker.harness import WORKSPACE, Service, metrics_of
from worker.lease import Lease


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


def claimed(service: Service, job_id: str) -> tuple[Lease, Any]:
    lease = Lease.claim(service.db, service.settings, job_id, "wrk_1")
    assert lease is not None
    return lease, lease.plan()


def outcome(service: Service, plan: Plan, *, exemplars: int = 2, accuracy: float = 0.5) -> Outcome:
    """What a method with a memory would have made; the tensors differ by job."""
    store = open_store(service.settings.storage_url)
    data = plan.job_id.encode()
    rankings: dict[int, list[str]] = {}
    for image in getattr(plan, "fresh", ()):
        rankings.setdefault(image.column, []).append(image.sha256)
    return Outcome(
        spec=plan.spec,
        parts={"head": SizedImage(store.put(data), len(data))},
        rankings={column: hashes[:exemplars] for column, hashes in rankings.items()},
        kept=(exemplars,) * len(plan.classes),
        metrics=metrics_of(plan, accuracy),
        warnings=[],
        residual=("backbone",) if isinstance(plan, ForgetPlan) else (),
    )


def run(service: Service, job_id: str) -> int:
    """Do a job without training, and return the number of its version."""
    lease, plan = claimed(service, job_id)
    number = lease.publish(plan, outcome(service, plan))
    assert number is not None
    return number


def taught(service: Service, *tasks: str, **fields: Any) -> list[str]:
    """Teach the classifier "toy" tasks, each a string of labels; return the uploads."""
    service.classifier(validation_fraction=0.25, **fields)
    made = [service.upload(*labels, count=8) for labels in tasks]
    for upload in made:
        run(service, service.learn(upload))
    return made


def class_map(service: Service, number: int) -> list[tuple[str, int, int]]:
    (version,) = [version for version in service.versions() if version.number == number]
    with service.db.reading() as session:
        rows = version_rows.classes(session, [version.id])[version.id]
        return [(row.label, row.index, row.task) for row in rows]


def held_out(service: Service, number: int) -> dict[int, list[str]]:
    (version,) = [version for version in service.versions() if version.number == number]
    with service.db.reading() as session:
        return learning_rows.held_out(session, version.id)


def images_of(service: Service, upload: str, label: str) -> set[str]:
    with service.db.reading() as session:
        found = images_of_upload(session, upload)
        return {image.sha256 for image in found if image.label == label}


def name_version(service: Service, alias: str, number: int) -> None:
    with service.db.transaction() as session:
        classifier = session.scalars(select(Version.classifier_id)).first()
        assert classifier is not None
        version = version_rows.by_number(session, classifier, number)
        assert version is not None
        alias_rows.point(session, classifier, alias, version.id, now=service.db.now(session))


def live(service: Service) -> int | None:
    with service.db.reading() as session:
        classifier = session.scalars(select(Version.classifier_id)).first()
        assert classifier is not None
        found = version_rows.by_alias(session, classifier, "live")
        return found.number if found else None


def test_a_class_leaves_the_plan_and_the_version(service: Service) -> None:
    taught(service, "ab", "cd")
    lease, plan = claimed(service, service.forget("c", " b", "c"))
    assert isinstance(plan, ForgetPlan)
    assert (plan.labels, plan.columns, plan.base_tasks) == (("b", "c"), (1, 2), (0, 0, 1, 1))
    assert [(c.label, c.index, c.task) for c in plan.classes] == [("a", 0, 0), ("d", 3, 1)]
    assert [(len(c.exemplars), len(c.held_out)) for c in plan.classes] == [(2, 2)] * 2
    assert plan.spec.model_dump(mode="json") == service.versions()[-1].spec
    with pytest.raises(NoReportError):
        jobs.report(service.db, WORKSPACE, lease.job_id)
    assert lease.publish(plan, outcome(service, plan)) == 3
    assert class_map(service, 3) == [("a", 0, 0), ("d", 3, 1)]
    version = service.versions()[-1]
    assert version.memory["exemplars"] == 4
    assert version.memory["held_out"] == 4
    assert set(service.metrics(version)["per_class"]) == {"a", "d"}
    assert set(held_out(service, 3)) == {0, 3}
    assert len(held_out(service, 2)) == 4
    assert live(service) == 3
    report = jobs.report(service.db, WORKSPACE, lease.job_id)
    assert report.model_dump() == {
        "kind": "forget",
        "forgotten": ["b", "c"],
        "tasks": [],
        "residual": ["backbone"],
        "purged": None,
    }


@ONE_KIND_AT_FIRST
def test_indices_and_tasks_are_never_used_again(service: Service) -> None:
    taught(service, "ab", "cd")
    job_id = service.forget("d", "c")
    run(service, job_id)
    assert jobs.report(service.db, WORKSPACE, job_id).tasks == [1]
    run(service, service.learn(service.upload("e", "c", count=8)))
    assert class_map(service, 4) == [("a", 0, 0), ("b", 1, 0), ("e", 4, 2), ("c", 5, 2)]


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize(("accuracy", "now_live"), [(0.5, 3), (0.3, 2)])
def test_a_forgotten_class_is_no_loss_to_the_guard(
    service: Service, accuracy: float, now_live: int
) -> None:
    taught(service, "ab", "cd", promotion={"policy": "guarded", "max_accuracy_drop": 0.05})
    lease, plan = claimed(service, service.forget("c"))
    assert lease.publish(plan, outcome(service, plan, accuracy=accuracy)) == 3
    assert live(service) == now_live


@ONE_KIND_AT_FIRST
def test_a_purge_goes_live_whatever_the_guard_says(service: Service) -> None:
    taught(service, "ab", promotion={"policy": "guarded", "max_accuracy_drop": 0.05})
    lease, plan = claimed(service, service.forget("b", purge=True))
    assert lease.publish(plan, outcome(service, plan, accuracy=0.1)) == 2
    assert live(service) == 2


@ONE_KIND_AT_FIRST
def test_a_purge_that_is_being_cancelled_deletes_nothing(service: Service) -> None:
    (upload,) = taught(service, "ab")
    lease, plan = claimed(service, service.forget("b", purge=True))
    service.cancel(lease.job_id)
    assert lease.publish(plan, outcome(service, plan)) is None
    assert service.job(lease.job_id).state == "cancelled"
    assert [version.number for version in service.versions()] == [1]
    assert uploads.get(service.db, WORKSPACE, upload).id == upload


@ONE_KIND_AT_FIRST
def test_what_cannot_be_forgotten(service: Service) -> None:
    service.classifier()
    with pytest.raises(UnknownClassError):
        service.forget("a")
    run(service, service.learn(service.upload("a", "b", count=4)))
    with pytest.raises(UnknownClassError) as unknown:
        service.forget("a", "x", "y")
    assert [error.pointer for error in unknown.value.errors] == ["/classes/1", "/classes/2"]
    with pytest.raises(CannotForgetError, match="Nothing would be left"):
        service.forget("b", "a")
    # Of two jobs for one class the second is refused when it starts.
    first, second = service.forget("a"), service.forget("a")
    run(service, first)
    lease = Lease.claim(service.db, service.settings, second, "wrk_1")
    assert lease is not None
    with pytest.raises(UnknownClassError):
        lease.plan()


@ONE_KIND_AT_FIRST
def test_what_was_held_out_of_a_forgotten_class_is_held_out_of_it_again(service: Service) -> None:
    service.classifier(validation_fraction=0.25)
    upload = service.upload("a", "b", count=8)
    run(service, service.learn(upload))
    before = held_out(service, 1)[1]
    assert len(before) == 2
    run(service, service.forget("b"))
    again = service.upload("b", count=8)
    assert images_of(service, again, "b") == images_of(service, upload, "b")
    _, plan = claimed(service, service.learn(again))
    assert plan.classes[1].new_held_out == tuple(before)
    assert {image.sha256 for image in plan.fresh} == images_of(service, upload, "b") - set(before)


@ONE_KIND_AT_FIRST
def test_what_was_held_out_is_held_out_under_another_label(service: Service) -> None:
    service.classifier(validation_fraction=0.25)
    first = [service.upload("a", count=8), service.upload("b", count=8, like="b")]
    run(service, service.learn(first[0], uploads=first))
    aside = held_out(service, 1)[1]
    run(service, service.forget("b"))
    _, plan = claimed(service, service.learn(service.upload("c", count=8, like="b")))
    assert plan.classes[1].new_held_out == tuple(aside)
    assert len(plan.fresh) == 6


@ONE_KIND_AT_FIRST
def test_what_may_be_left_is_said_again_when_a_class_comes_back(service: Service) -> None:
    taught(service, "ab")
    first, second = ("masks",), ("backbone",)
    lease, plan = claimed(service, service.forget("b"))
    lease.publish(plan, replace(outcome(service, plan), residual=first))
    run(service, service.learn(service.upload("b", count=8)))
    lease, plan = claimed(service, service.forget("b"))
    lease.publish(plan, replace(outcome(service, plan), residual=second))
    assert jobs.report(service.db, WORKSPACE, lease.job_id).residual == [*second, *first]
    # The report of another class does not name it.
    run(service, service.learn(service.upload("c", count=8)))
    lease, plan = claimed(service, service.forget("c"))
    lease.publish(plan, replace(outcome(service, plan), residual=()))
    assert jobs.report(service.db, WORKSPACE, lease.job_id).residual == []


@ONE_KIND_AT_FIRST
def test_packnet_forgets_its_newest_task_only(service: Service) -> None:
    taught(service, "ab", "cd", method="packnet")
    for classes in ("ab", "c", "acd"):
        with pytest.raises(CannotForgetError, match="newest task as a whole"):
            service.forget(*classes)
    run(service, service.forget("c", "d"))
    assert class_map(service, 3) == [("a", 0, 0), ("b", 1, 0)]


def gone(service: Service, hashes: Sequence[str] | set[str]) -> bool:
    store = open_store(service.settings.storage_url)
    with service.db.reading() as session:
        rows = session.scalar(
            select(func.count()).select_from(Image).where(Image.sha256.in_(hashes))
        )
        rows += session.scalar(select(func.count()).where(Blob.sha256.in_(hashes)))
    return not rows and not any(store.exists(sha256) for sha256 in hashes)


def kept(service: Service, hashes: Sequence[str] | set[str]) -> bool:
    store = open_store(service.settings.storage_url)
    with service.db.reading() as session:
        rows = session.scalar(
            select(func.count()).select_from(Image).where(Image.sha256.in_(hashes))
        )
    return rows == len(hashes) and all(store.exists(sha256) for sha256 in hashes)


def test_a_purge_leaves_nothing_of_a_class(service: Service) -> None:
    first, second, third = taught(service, "a", "bc", "d", promotion={"policy": "manual"})
    measured = held_out(service, 3)
    images = {label: images_of(service, second, label) for label in "bc"}
    apart = images_of(service, first, "a") | images_of(service, third, "d")
    with service.db.reading() as session:
        tensors = {
            version.number: set(version_rows.parts(session, version.id).values())
            for version in service.versions()
        }
        exemplars = set(session.scalars(select(RankingImage.sha256)))
    name_version(service, "live", 3)

    job_id = service.forget("b", purge="now")
    assert run(service, job_id) == 4
    report = jobs.report(service.db, WORKSPACE, job_id)
    assert report.purged is not None
    assert report.purged.model_dump() == {"versions": [2, 3], "uploads": [second]}
    # The first version never knew the class. It is the parent now, and live has moved.
    one, four = service.versions()
    assert (one.number, four.number, four.parent_id) == (1, 4, one.id)
    assert live(service) == 4
    assert class_map(service, 4) == [("a", 0, 0), ("c", 2, 1), ("d", 3, 2)]
    with pytest.raises(UploadNotFoundError):
        uploads.get(service.db, WORKSPACE, second)
    # What the version needs of c stays, and nothing of b.
    assert gone(service, images["b"])
    assert held_out(service, 4) == {index: measured[index] for index in (0, 2, 3)}
    needed = (images["c"] & exemplars) | set(measured[2])
    assert len(needed) == 2 + 2
    assert kept(service, needed)
    assert gone(service, images["c"] - needed)
    assert kept(service, apart)
    assert gone(service, tensors[2] | tensors[3])
    assert not gone(service, tensors[1])
    with service.db.reading() as session:
        used = set(session.scalars(select(VersionClass.ranking_id)))
        assert set(session.scalars(select(Ranking.id))) == used
    assert service.job(job_id).version == 4


def test_a_class_that_was_forgotten_can_be_purged_later(service: Service) -> None:
    first, second, _ = taught(service, "a", "b", "c")
    images = images_of(service, second, "b")
    run(service, service.forget("b"))
    with pytest.raises(UnknownClassError, match="does not know 'b'"):
        service.forget("b")
    lease, plan = claimed(service, service.forget("b", purge="now"))
    assert isinstance(plan, ForgetPlan)
    assert (plan.labels, plan.columns, plan.base_tasks) == (("b",), (), (0, 2))
    assert [planned.label for planned in plan.classes] == ["a", "c"]
    made = replace(outcome(service, plan), residual=())
    assert lease.publish(plan, made) == 5
    report = jobs.report(service.db, WORKSPACE, lease.job_id)
    assert (report.forgotten, report.tasks) == (["b"], [])
    assert report.residual == ["backbone"]  # as in the report of the job that forgot it
    assert report.purged is not None
    assert report.purged.model_dump() == {"versions": [2, 3], "uploads": [second]}
    assert gone(service, images)
    assert kept(service, images_of(service, first, "a"))
    assert [version.number for version in service.versions()] == [1, 4, 5]
    assert class_map(service, 5) == [("a", 0, 0), ("c", 2, 2)]
    assert set(held_out(service, 5)) == {0, 2}


@ONE_KIND_AT_FIRST
def test_a_class_that_was_rolled_back_can_be_purged(service: Service) -> None:
    _, second = taught(service, "a", "b", method="packnet")
    images = images_of(service, second, "b")
    name_version(service, "live", 1)
    run(service, service.forget("b", purge="now"))
    assert [version.number for version in service.versions()] == [1, 3]
    assert class_map(service, 3) == [("a", 0, 0)]
    assert live(service) == 3
    assert gone(service, images)
    with pytest.raises(UnknownClassError, match="No version knows 'b'") as unknown:
        service.forget("a", "b", purge="now")
    assert [error.pointer for error in unknown.value.errors] == ["/classes/1"]


@ONE_KIND_AT_FIRST
def test_a_purge_without_a_live_version_is_refused(service: Service) -> None:
    # Versions that a manifest brought back may have no alias.
    taught(service, "ab")
    with service.db.transaction() as session:
        session.execute(delete(Alias).where(Alias.name == "live"))
    with pytest.raises(UnknownClassError, match="no live version"):
        service.forget("a", purge=True)


def test_indices_outlive_a_purge(service: Service) -> None:
    taught(service, "a", "b")
    # The newest class was deleted with its version; its index and task are not used again.
    run(service, service.forget("b", purge=True))
    assert [version.number for version in service.versions()] == [1, 3]
    again = service.upload("c", count=8)
    run(service, service.learn(again))
    assert class_map(service, 4) == [("a", 0, 0), ("c", 2, 2)]
    # A branch that does not know the class stays, with indices and tasks of its own.
    run(service, service.learn(service.upload("d", count=8), base_version=1))
    assert class_map(service, 5) == [("a", 0, 0), ("d", 1, 1)]
    run(service, service.forget("c", base_version=4, purge=True))
    assert class_map(service, 6) == [("a", 0, 0)]
    assert [version.number for version in service.versions()] == [1, 3, 5, 6]


@ONE_KIND_AT_FIRST
def test_what_was_trained_on_before_a_purge_is_not_measured_on(service: Service) -> None:
    service.classifier(validation_fraction=0)
    first = service.upload("a", count=8, like="one")
    run(service, service.learn(first, uploads=[first, service.upload("b", count=8)]))
    run(service, service.forget("b", purge=True))
    assert [version.number for version in service.versions()] == [2]
    tests = service.upload("a", count=9, like="one", split="test")
    more = service.upload("a", count=2)
    job_id = service.learn(more, uploads=[more, tests], on_existing="extend")
    _, plan = claimed(service, job_id)
    new = images_of(service, tests, "a") - images_of(service, first, "a")
    assert len(new) == 1
    assert set(plan.classes[0].new_held_out) == new


def test_the_same_picture_under_another_class_stays(service: Service) -> None:
    service.classifier(validation_fraction=0)
    both = service.upload("a", "b", count=3, like="same")
    run(service, service.learn(both))
    run(service, service.forget("a", purge="now"))
    with service.db.reading() as session:
        exemplars = set(session.scalars(select(RankingImage.sha256)))
    assert len(exemplars) == 2
    assert kept(service, exemplars)


@ONE_KIND_AT_FIRST
def test_what_cannot_be_purged(service: Service) -> None:
    (upload,) = taught(service, "abc")
    name_version(service, "canary", 1)
    with pytest.raises(CannotPurgeError, match="aliases: canary"):
        service.forget("a", purge=True)
    run(service, service.forget("a"))
    with service.db.transaction() as session:
        row = session.scalars(select(Alias).where(Alias.name == "canary")).one()
        alias_rows.remove(session, row)
    # Another classifier is about to learn from the upload.
    waiting = service.learn(upload, service.classifier("other"))
    with pytest.raises(CannotPurgeError, match=upload):
        service.forget("b", purge=True)
    service.cancel(waiting)
    # Where something prevents the purge later, the job fails and nothing is deleted.
    lease, plan = claimed(service, service.forget("b", purge=True))
    name_version(service, "canary", 1)
    with pytest.raises(CannotPurgeError, match="canary"):
        lease.publish(plan, outcome(service, plan))
    assert [version.number for version in service.versions()] == [1, 2]
    assert service.job(lease.job_id).state == "running"
    name_version(service, "canary", 2)
    later = service.learn(service.upload("e", count=4), base_version=2)
    with pytest.raises(CannotPurgeError):
        lease.publish(plan, outcome(service, plan))
    service.cancel(later)
    with service.db.transaction() as session:
        row = session.scalars(select(Alias).where(Alias.name == "canary")).one()
        alias_rows.remove(session, row)
    assert lease.publish(plan, outcome(service, plan)) == 3
    assert [version.number for version in service.versions()] == [3]
    assert class_map(service, 3) == [("c", 2, 0)]
