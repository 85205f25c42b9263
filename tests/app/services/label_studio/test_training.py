"""What becomes of a project's annotations: jobs that a worker's steps then do."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from app.db.engine import Database
from app.services.access.limits import NO_QUOTA
from app.services.classifiers.classifiers import ClassifierInUseError, ClassifierNotFoundError
from app.services.label_studio.training import Asked, Training, TrainingView
from app.services.uploads.collecting import NoUsableImagesError
from app.settings import Settings
from app.storage import BlobStore
from tests.app.services.label_studio.site import Answer, Site, annotated, site
from tests.app.services.steps.test_forgetting import claimed, run
from tests.databases import ONE_KIND_AT_FIRST
from tests.pictures import png
from tests.worker.harness import WORKSPACE, Service

pytestmark = ONE_KIND_AT_FIRST

PROJECT = 5


@pytest.fixture
def project() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    service = Service(database, settings)
    service.classifier(validation_fraction=0)
    return service


def train(
    service: Service, store: BlobStore, project: Site, tasks: list[dict[str, Any]]
) -> TrainingView:
    """Train with these tasks."""
    project.project(PROJECT, tasks)
    given = {"label_studio_url": project.url, "label_studio_token": "token"}
    settings = Settings.model_validate({**service.settings.model_dump(), **given})
    training = Training(service.db, store, settings, lambda: None)
    try:
        return training.start(Asked(WORKSPACE, "toy", PROJECT), NO_QUOTA).result()
    finally:
        training.stop()


def tasks(labels: str, first: int = 0) -> list[dict[str, Any]]:
    """A task for each label, with a picture of its own."""
    return [
        annotated(number, "data:;base64," + base64.b64encode(png(number)).decode(), label)
        for number, label in enumerate(labels, start=first)
    ]


def test_what_is_new_is_learnt_and_nothing_twice(
    service: Service, store: BlobStore, project: Site
) -> None:
    first = train(service, store, project, tasks("aabb"))
    assert (first.status, first.annotated, first.known) == ("queued", 4, 0)
    assert first.job is not None
    run(service, first.job)
    again = train(service, store, project, tasks("aabb"))
    assert (again.status, again.annotated, again.known, again.job) == ("nothing_new", 4, 4, None)
    more = train(service, store, project, tasks("aabb") + tasks("ab", first=4))
    assert (more.status, more.known) == ("queued", 4)
    assert more.job is not None
    _, plan = claimed(service, more.job)
    assert [(each.label, each.train_images) for each in plan.classes] == [("a", 3), ("b", 3)]


def test_other_labels_than_were_learnt_are_corrected(
    service: Service, store: BlobStore, project: Site
) -> None:
    first = train(service, store, project, tasks("aaabb"))
    assert first.job is not None
    run(service, first.job)
    changed = train(service, store, project, tasks("baabb"))
    assert (changed.status, changed.job, changed.known) == ("queued", None, 4)
    assert changed.corrects is not None
    service.cancel(changed.corrects)
    new = train(service, store, project, tasks("caabb"))
    assert (new.status, new.corrects) == ("nothing_new", None)
    assert "1 images have another label" in new.warnings[0]


def test_tasks_without_an_image_are_left_out(
    service: Service, store: BlobStore, project: Site
) -> None:
    project.answers["/text"] = Answer(b"not an image")
    skipped = annotated(8, "/x.png", "a", was_cancelled=True)
    bad = [annotated(6, "/gone.png", "a"), annotated(7, "/text", "a"), skipped]
    view = train(service, store, project, tasks("ab") + bad)
    assert (view.status, view.annotated, view.rejected) == ("queued", 4, 2)
    assert view.warnings[0].startswith("task 6: its URL answers 404")
    assert view.warnings[1].startswith("task 7: ")


def test_nothing_is_annotated(service: Service, store: BlobStore, project: Site) -> None:
    view = train(service, store, project, [])
    assert (view.status, view.annotated) == ("nothing_new", 0)


def test_nothing_can_be_fetched(service: Service, store: BlobStore, project: Site) -> None:
    with pytest.raises(NoUsableImagesError):
        train(service, store, project, [annotated(1, "/gone.png", "a")])


def test_a_classifier_that_is_at_work(service: Service, store: BlobStore, project: Site) -> None:
    train(service, store, project, tasks("ab"))
    with pytest.raises(ClassifierInUseError):
        train(service, store, project, tasks("ab"))


def test_a_classifier_that_does_not_exist(
    database: Database, settings: Settings, store: BlobStore, project: Site
) -> None:
    with pytest.raises(ClassifierNotFoundError):
        train(Service(database, settings), store, project, [])
