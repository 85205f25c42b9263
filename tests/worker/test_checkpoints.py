"""Checkpoints of jobs: who may write them, how long they stay, and which are gone on from."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.db.tables import Blob, Job
from app.services.jobs import jobs
from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.queue.dispatcher import Dispatcher
from app.services.steps.publication import Outcome
from app.services.stored import StorageChangedError
from app.services.upkeep import sweeping
from app.services.uploads import uploads
from app.storage import BlobStore, LocalBlobStore
from models.checkpoint import Checkpoint
from tests.app.services.upkeep.test_sweeping import age, age_marks
from tests.databases import ONE_KIND_AT_FIRST
from tests.worker.harness import NO_CACHE, ROOM, WORKSPACE, Service, nothing
from tests.worker.test_claim import LOST, let_leases_run_out, must_claim, outcome
from worker import child, saving
from worker.attempt import Attempt
from worker.lease import Lease
from worker.protocol import Failure, Message, Report, Resources
from worker.saving import Saver

HOPELESS = Failure("training-diverged", "It diverged.", again=False, retryable=False)
HOPEFUL = Failure("timed-out", "It took too long.", again=False, retryable=True)


def saved(store: BlobStore, text: str = "one") -> SavedCheckpoint:
    """A checkpoint in the store."""
    data = text.encode()
    return SavedCheckpoint(
        store.put(data), len(data), "f" * 64, 0, 3, 1, "cpu", 1, {"fraction": 0.5}
    )


def gone(service: Service, store: BlobStore, checkpoint: SavedCheckpoint) -> bool:
    """Say whether neither bytes nor a row are left of a checkpoint."""
    with service.db.reading() as session:
        row = session.get(Blob, checkpoint.sha256)
    return row is None and not store.exists(checkpoint.sha256)


def started(service: Service, label: str = "a") -> Lease:
    return must_claim(service, service.learn(service.upload(label, count=4)))


def test_only_the_newest_is_kept_and_only_the_holder_writes(
    service: Service, store: BlobStore
) -> None:
    service.classifier()
    stale = started(service)
    first, second, third = (saved(store, text) for text in ("one", "two", "three"))
    stale.record_checkpoint(first)
    assert stale.checkpoint() == first
    stale.record_checkpoint(second)
    assert stale.checkpoint() == second
    assert not store.exists(first.sha256)
    let_leases_run_out(service)
    Dispatcher(service.db, service.settings).tick()
    holder = must_claim(service, stale.job_id, "wrk_2")
    stale.record_checkpoint(third)
    assert holder.checkpoint() == second
    holder.record_checkpoint(second)  # resumed and stopped at once: the same bytes again
    assert holder.checkpoint() == second
    assert store.exists(second.sha256)


def test_success_and_hopeless_failure_remove_it(service: Service, store: BlobStore) -> None:
    service.classifier()
    lease, checkpoint = started(service), saved(store)
    lease.record_checkpoint(checkpoint)
    plan = lease.plan()
    assert lease.publish(plan, outcome(plan)) == 1
    assert lease.checkpoint() is None
    assert gone(service, store, checkpoint)
    lease, checkpoint = started(service, "b"), saved(store, "two")
    lease.record_checkpoint(checkpoint)
    lease.fail(HOPELESS)
    assert lease.checkpoint() is None
    assert gone(service, store, checkpoint)


@pytest.mark.parametrize("how", ["cancelled", "failed", "lost", "handed back"])
def test_it_is_kept_for_the_next_attempt(service: Service, store: BlobStore, how: str) -> None:
    service.classifier()
    lease = started(service)
    lease.record_checkpoint(saved(store))
    if how == "cancelled":
        service.cancel(lease.job_id)
        lease.cancelled()
    elif how == "failed":
        lease.fail(HOPEFUL)
    elif how == "lost":
        lease.fail(LOST)
    else:
        lease.hand_back()
    if how in ("cancelled", "failed"):
        jobs.retry(service.db, WORKSPACE, lease.job_id, on_created=nothing)
    assert must_claim(service, lease.job_id).checkpoint() == saved(store)


@pytest.mark.parametrize("how", ["another job publishes", "the upload is deleted"])
def test_it_goes_when_no_retry_can_use_it(service: Service, store: BlobStore, how: str) -> None:
    service.classifier()
    upload = service.upload("a", count=4)
    lease = must_claim(service, service.learn(upload))
    checkpoint = saved(store)
    lease.record_checkpoint(checkpoint)
    lease.fail(HOPEFUL)
    assert lease.checkpoint() == checkpoint
    if how == "the upload is deleted":
        uploads.delete(service.db, WORKSPACE, upload)
    else:
        other = started(service, "b")
        plan = other.plan()
        other.publish(plan, outcome(plan))
        assert gone(service, store, checkpoint)
    assert lease.checkpoint() is None


def test_the_sweep_leaves_it_until_its_upload_is_gone(service: Service, store: BlobStore) -> None:
    service.classifier()
    lease, checkpoint = started(service), saved(store)
    lease.record_checkpoint(checkpoint)
    lease.fail(HOPEFUL)
    age(store)
    sweeping.sweep(service.db, store, service.settings)
    assert lease.checkpoint() == checkpoint
    assert store.exists(checkpoint.sha256)
    with service.db.transaction() as session:
        ended = service.db.now(session) - timedelta(days=8)
        session.get_one(Job, lease.job_id).finished_at = ended
    sweeping.sweep(service.db, store, service.settings)
    age_marks(service)
    sweeping.sweep(service.db, store, service.settings)
    assert lease.checkpoint() is None
    assert gone(service, store, checkpoint)


def test_bytes_that_are_gone_are_not_recorded(service: Service, store: BlobStore) -> None:
    service.classifier()
    lease, first = started(service), saved(store)
    lease.record_checkpoint(first)
    second = saved(store, "two")
    store.delete(second.sha256)
    with pytest.raises(StorageChangedError):
        lease.record_checkpoint(second)
    assert lease.checkpoint() == first


def test_a_purge_removes_what_others_learnt_from_its_images(
    service: Service, store: BlobStore
) -> None:
    upload = service.upload("a", "b", count=4)
    service.classifier()
    service.classifier("other")
    lease = must_claim(service, service.learn(upload))
    plan = lease.plan()
    lease.publish(plan, outcome(plan))
    other = must_claim(service, service.learn(upload, "other"))
    checkpoint = saved(store)
    other.record_checkpoint(checkpoint)
    other.fail(HOPEFUL)
    lease = must_claim(service, service.forget("a", purge="now"))
    plan = lease.plan()
    assert lease.publish(plan, outcome(plan)) == 2
    assert other.checkpoint() is None
    assert gone(service, store, checkpoint)


class Attempts:
    """Runs a job's training in this process, attempt after attempt."""

    def __init__(self, service: Service) -> None:
        service.classifier(options={"epochs": 4, "batch_size": 2})
        self.lease = started(service)
        self.plan = self.lease.plan()
        self.url = service.settings.storage_url
        self.said: list[Message] = []

    def run(self, checkpoint: SavedCheckpoint | None = None, **changed: object) -> Outcome:
        resources = replace(Resources(self.url, "cpu", 1, None, 1e-6, NO_CACHE, ROOM), **changed)
        self.said.clear()
        end = child.run(Attempt(self.plan, resources, self.said.append, checkpoint=checkpoint))
        assert isinstance(end, Outcome)
        return end

    def checkpoints(self) -> list[SavedCheckpoint]:
        return [said for said in self.said if isinstance(said, SavedCheckpoint)]

    def events(self, kind: str) -> list[str]:
        reports = [said for said in self.said if isinstance(said, Report)]
        return [event.message for said in reports for event in said.events if event.type == kind]


@pytest.fixture
def attempts(service: Service) -> Attempts:
    return Attempts(service)


@ONE_KIND_AT_FIRST
def test_an_attempt_goes_on_from_a_checkpoint(attempts: Attempts) -> None:
    whole = attempts.run()
    half = attempts.checkpoints()[0]
    assert attempts.run(half).parts == whole.parts
    (message,) = attempts.events("resumed")
    assert message.startswith("Resumed ")
    fractions = [said.progress["fraction"] for said in attempts.said if isinstance(said, Report)]
    assert fractions == sorted(fractions)
    assert fractions[0] == half.progress["fraction"] > 0.05
    assert attempts.run(half, threads=2)
    assert "by 1 threads" in attempts.events("resumed")[0]


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("wrong", ["fingerprint", "missing", "damaged", "other tensors"])
def test_what_cannot_be_gone_on_from_is_left_out(
    attempts: Attempts, store: BlobStore, wrong: str
) -> None:
    whole = attempts.run()
    half = attempts.checkpoints()[0]
    path = store.path(half.sha256)
    assert path is not None
    if wrong == "fingerprint":
        half = replace(half, fingerprint="0" * 64)
    elif wrong == "missing":
        store.delete(half.sha256)
    elif wrong == "damaged":
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    else:
        made = Checkpoint.decode(store.get(half.sha256))
        made.parts["backbone"].clear()
        half = replace(half, sha256=store.put(made.encode()))
    assert attempts.run(half).parts == whole.parts
    assert len(attempts.events("not_resumed")) == 1
    assert len(attempts.events("epoch")) == 4


@ONE_KIND_AT_FIRST
def test_the_plan_is_the_same_at_every_attempt(service: Service) -> None:
    """Also for a base version that the request left open: the first attempt's is kept."""
    service.classifier(validation_fraction=0.2)
    first = started(service)
    plan = first.plan()
    first.publish(plan, outcome(plan))
    lease = must_claim(service, service.learn(service.upload("b", "c", count=12)))
    plan = lease.plan()
    lease.hand_back()
    assert must_claim(service, lease.job_id).plan() == plan


def test_what_was_published_between_two_attempts_is_not_lost(service: Service) -> None:
    """An older job that is tried again goes first, and a later attempt starts from its version."""
    service.classifier()
    first = started(service)
    plan = first.plan()
    first.publish(plan, outcome(plan))
    older, younger = (service.learn(service.upload(label, count=4)) for label in "bc")
    service.cancel(older)
    lease = must_claim(service, younger)
    assert lease.plan().base_version_id == service.versions()[0].id
    service.retry(older)
    lease.hand_back()
    again = must_claim(service, older)
    plan = again.plan()
    again.publish(plan, outcome(plan))
    plan = must_claim(service, younger).plan()
    assert plan.base_version_id == service.versions()[1].id
    assert [planned.label for planned in plan.classes] == ["a", "b", "c"]


@ONE_KIND_AT_FIRST
def test_a_checkpoint_is_made_when_it_is_worth_it(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts.run(checkpoint_seconds=3600.0)
    assert not attempts.checkpoints()
    # Once it is known what the first has cost.
    monkeypatch.setattr(saving, "_WORTH", 1e9)
    attempts.run()
    assert len(attempts.checkpoints()) == 1
    monkeypatch.setattr(saving, "_WORTH", 0.0)
    attempts.run()
    places = [(made.epoch, made.step) for made in attempts.checkpoints()]
    assert places == [(step // 2, step % 2) for step in range(1, 9)]


@ONE_KIND_AT_FIRST
def test_a_full_disk_costs_the_checkpoint_and_not_the_job(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(LocalBlobStore):
        def put(self, data: bytes) -> str:
            raise OSError("No space left on device")

    def saver(attempt: Attempt, fingerprint: str) -> Saver:
        without_room = replace(attempt)
        vars(without_room)["store"] = Full(attempts.url)
        return Saver(without_room, fingerprint)

    monkeypatch.setattr(child, "Saver", saver)
    attempts.run()
    assert not attempts.checkpoints()
    assert "No space left" in "".join(attempts.events("warning"))
