"""Evaluations as a worker makes them: predicted as serving does, measured, recorded at once."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from app.db.engine import Database
from app.db.repositories import evaluated as evaluated_rows
from app.imaging.reading import ImageLimits
from app.inference import results
from app.inference.loaded import LoadedVersion
from app.inference.stored import StoredVersion
from app.services.classifiers import judgements
from app.services.jobs import evaluation_view, jobs
from app.services.jobs.evaluation_view import (
    EvaluatedImageView,
    EvaluationView,
    NotAnEvaluationError,
)
from app.services.steps import starting
from app.services.steps.evaluating import CannotEvaluateError, Evaluated
from app.settings import Settings
from app.storage import open_store
from models.figures import standard_error
from tests.app.services.steps.test_forgetting import claimed, held_out
from tests.worker.harness import WORKSPACE, Service
from tests.worker.test_correct import attempt, done
from worker import child
from worker.protocol import Message, Report, Stopped


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    service = Service(database, settings)
    service.classifier(validation_fraction=0.5, options={"epochs": 4, "batch_size": 8})
    return service


def evaluated(service: Service, *uploads: str, **fields: Any) -> str:
    """Evaluate in this process and record what is found."""
    job_id = service.evaluate(*uploads, **fields)
    lease, plan = claimed(service, job_id)
    found = child.run(attempt(service, plan, []))
    assert isinstance(found, Evaluated), found
    assert lease.record(found)
    return job_id


def report_of(service: Service, job_id: str) -> EvaluationView:
    report = jobs.report(service.db, WORKSPACE, job_id)
    assert isinstance(report, EvaluationView)
    return report


def images_of(service: Service, job_id: str, wrong: bool | None = None) -> list[EvaluatedImageView]:
    return evaluation_view.images(service.db, WORKSPACE, job_id, wrong=wrong, limit=1000, after=-1)


def served(service: Service, number: int, hashes: list[str]) -> list[dict[str, Any]]:
    """What `/predict` would answer for stored images."""
    store = open_store(service.settings.storage_url)
    rows = StoredVersion.read(service.db, service.versions()[number - 1].id)
    version = LoadedVersion(rows, store, ImageLimits(10**9, 10**6))
    run = version.predictor(None, "auto").run([store.get(sha256) for sha256 in hashes])
    return [results.describe(version, outcome, 10, 0.2) for outcome in run.outcomes]


def test_uploads_are_evaluated_as_they_are_served(service: Service) -> None:
    learnt = service.upload("a", "b", "c", count=20)
    done(service, service.learn(learnt))
    # New images of two classes, some of them with the label of the other, and of an unknown class.
    new = service.upload("a", "b", "x", count=10, split="test")
    swapped = service.upload("c", count=6, split="test", like="a None")
    job_id = evaluated(service, new, swapped, learnt, false_alarms=0.2)
    job, report = service.job(job_id), report_of(service, job_id)
    assert (job.state, job.version) == ("succeeded", None)
    assert len(service.versions()) == 1
    assert (report.version, report.source, report.images) == (1, "uploads", 10 + 10 + 6 + 30)
    # Half of what was learnt was held out, which was never trained on.
    assert report.left_out.model_dump() == {
        "trained": 30,
        "alike": 0,
        "same_group": 0,
        "repeated": 0,
        "other_tasks": 0,
    }
    images = images_of(service, job_id)
    answers = served(service, 1, [image.sha256 for image in images])
    for image, answer in zip(images, answers, strict=True):
        scores = {ranked["label"]: ranked["score"] for ranked in answer["ranked"]}
        assert image.predicted == answer["label"]
        assert image.score == pytest.approx(answer["score"], abs=1e-5)
        assert image.label_score == pytest.approx(scores.get(image.label), abs=1e-5)
        assert image.p_known == pytest.approx(answer["p_known"])
        assert image.known is answer["known"]
    known = [image for image in images if image.label_score is not None]
    assert [image.label for image in images[len(known) :]] == ["x"] * 10
    assert report.unknown_labels == {"x": 10}
    right = np.array([image.label == image.predicted for image in known])
    assert report.accuracy == right.mean()
    assert 0 < report.standard_error < 0.5 / np.sqrt(56)
    assert not right[: (~right).sum()].any()  # wrong ones come first
    margins = [np.log(image.score / image.label_score) for image in known]
    assert margins == sorted(margins, reverse=True)
    for index, row in enumerate(report.confusion.labels):
        for other, count in zip(
            report.confusion.labels, report.confusion.counts[index], strict=True
        ):
            assert count == sum((i.label, i.predicted) == (row, other) for i in known)
    assert images_of(service, job_id, True) == known[: (~right).sum()]
    assert images_of(service, job_id, False) == known[(~right).sum() :]
    assert report.known_why is None
    for view, among in ((report.known, known), (report.unknown, images[len(known) :])):
        assert view.called_unknown == sum(image.known is False for image in among)
        assert view.share == view.called_unknown / len(among)


def test_held_out_images_are_listed_and_evaluated_again(service: Service) -> None:
    done(service, service.learn(service.upload("a", "b", count=20)))
    done(service, service.learn(service.upload("c", count=20)))
    store = open_store(service.settings.storage_url)
    listed = judgements.judged(service.db, store, WORKSPACE, "toy", "2", used="held_out", limit=100)
    expected = held_out(service, 2)
    labels = {sha256: label for index, label in enumerate("abc") for sha256 in expected[index]}
    assert {image.sha256: image.label for image in listed} == labels
    answers = served(service, 2, [image.sha256 for image in listed])
    for image, answer in zip(listed, answers, strict=True):
        assert image.predicted == answer["label"]
        assert image.score == pytest.approx(answer["score"], abs=1e-4)
    only = judgements.judged(
        service.db,
        store,
        WORKSPACE,
        "toy",
        "2",
        used="held_out",
        limit=100,
        label="b",
        wrong=False,
    )
    assert only == [i for i in listed if i.label == "b" and i.predicted == "b"]
    job_id = evaluated(service, base_version=2)
    report = report_of(service, job_id)
    assert (report.source, report.version, report.images) == ("held_out", 2, 30)
    right = sum(image.label == image.predicted for image in listed)
    assert report.accuracy == right / 30 == service.versions()[1].metrics["accuracy"]
    again = images_of(service, job_id)
    assert [image.sha256 for image in again if image.label != image.predicted] == [
        image.sha256 for image in listed if image.label != image.predicted
    ]
    # One task alone: other columns do not compete.
    task = report_of(service, evaluated(service, base_version=2, task=1))
    assert (task.images, task.accuracy, task.confusion.labels) == (10, 1.0, ["c"])
    assert task.known.share is None
    assert task.known_why is not None


def test_images_of_groups_are_measured_as_such(service: Service) -> None:
    """What is of a group that was trained on is left out; the error counts groups, not images."""
    done(service, service.learn(service.upload("a", "b", count=24, groups=6)))
    # Other images of the same groups, of which half was trained on.
    report = report_of(
        service, evaluated(service, service.upload("a", "b", count=24, split="test", groups=6))
    )
    assert report.left_out.same_group == 24
    assert report.images == 24
    again = evaluated(service)
    rows = {image.sha256: image for image in images_of(service, again)}
    hits: dict[str, list[bool]] = {}
    for (label, sha256), group in held_out_groups(service).items():
        hits.setdefault(group, []).append(rows[sha256].predicted == label)
    assert (len(hits), sum(map(len, hits.values()))) == (6, 24)
    found = report_of(service, again)
    assert (found.standard_error_kind, found.measured_on_groups) == ("cluster_robust", 6)
    sums = [sum(own) - found.accuracy * len(own) for own in hits.values()]
    robust = np.sqrt(6 / 5 * np.square(sums).sum()) / 24
    assert found.standard_error == pytest.approx(max(robust, standard_error(found.accuracy, 24)))
    one = service.upload("a", count=5, split="test", like="one group", groups=1)
    single = report_of(service, evaluated(service, one))
    assert (single.images, single.standard_error) == (5, None)


def held_out_groups(service: Service) -> Mapping[tuple[str, str], str]:
    with service.db.reading() as session:
        return starting.load(session, service.versions()[0]).held_out_groups


def test_what_cannot_be_evaluated_is_refused(service: Service) -> None:
    upload = service.upload("a", "b", count=20)
    with pytest.raises(CannotEvaluateError) as none_yet:
        service.evaluate(upload)
    assert none_yet.value.errors[0].pointer == "/alias"
    done(service, service.learn(upload))
    for fields, pointer in (
        ({"task": 3}, "/task"),
        ({"alias": "candidate"}, "/alias"),
    ):
        with pytest.raises(CannotEvaluateError) as refused:
            service.evaluate(upload, **fields)
        assert refused.value.errors[0].pointer == pointer
    other = service.upload("x", "y", count=2)
    with pytest.raises(CannotEvaluateError, match="none of the labels 'x', 'y'"):
        service.evaluate(other)
    # Behind a job that may teach these labels it is taken, and refused when it starts.
    waiting = service.learn(service.upload("z", count=4))
    job_id = service.evaluate(other)
    service.cancel(waiting)
    with pytest.raises(CannotEvaluateError, match="none of the labels"):
        claimed(service, job_id)


@pytest.mark.parametrize("sent", [True, False])
def test_images_that_were_trained_on_give_no_accuracy(service: Service, sent: bool) -> None:
    service.classifier("whole", method="finetune", validation_fraction=0)
    upload = service.upload("a", "b", count=5)
    done(service, service.learn(upload, name="whole"))
    with pytest.raises(CannotEvaluateError, match="classifies by softmax only"):
        service.evaluate(upload, name="whole", classify="nearest_mean")
    job_id = service.evaluate(*([upload] if sent else []), name="whole", base_version=1)
    why = "An accuracy is of images never trained on" if sent else "Nothing was held out"
    with pytest.raises(CannotEvaluateError, match=why):
        claimed(service, job_id)


def test_a_cancelled_evaluation_records_nothing(service: Service) -> None:
    done(service, service.learn(service.upload("a", "b", count=20)))
    job_id = service.evaluate()
    lease, plan = claimed(service, job_id)
    said: list[Message] = []
    running = attempt(service, plan, said)
    found = child.run(running)
    assert isinstance(found, Evaluated)
    phases = [message.phase for message in said if isinstance(message, Report)]
    assert list(dict.fromkeys(phases)) == ["preparing", "evaluating"]
    running.stop.give(saving=False)
    assert isinstance(child.run(running), Stopped)
    service.cancel(job_id)
    assert not lease.record(found)
    assert service.job(job_id).state == "cancelled"
    with pytest.raises(NotAnEvaluationError):
        images_of(service, job_id)
    with service.db.reading() as session:
        assert evaluated_rows.page(session, job_id, wrong=None, limit=1, after=-1) == []
    # Tried again, it is recorded by the attempt that holds the job, and by no earlier one.
    service.retry(job_id)
    again, plan = claimed(service, job_id)
    found = child.run(attempt(service, plan, []))
    assert isinstance(found, Evaluated)
    assert not lease.record(found)
    assert again.record(found)
    assert service.job(job_id).state == "succeeded"
    assert len(images_of(service, job_id)) == report_of(service, job_id).images


def test_a_purge_forgets_what_evaluations_found(service: Service) -> None:
    upload = service.upload("a", "b", "c", count=20)
    done(service, service.learn(upload))
    job_id = evaluated(service)
    assert {image.label for image in images_of(service, job_id)} == {"a", "b", "c"}
    done(service, service.forget("b", purge=True))
    assert {image.label for image in images_of(service, job_id)} == {"a", "c"}
