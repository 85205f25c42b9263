"""Correcting labels, on both databases: from the request to what later steps know."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.db.engine import Database
from app.db.repositories import learning as learning_rows, trained as trained_rows
from app.db.repositories.learning import SizedImage
from app.db.tables import Image, RankingImage, VersionClass
from app.services.classifiers import versions
from app.services.jobs import jobs
from app.services.jobs.reports import CorrectionsView
from app.services.steps.correcting import CannotCorrectError, UnknownImageError
from app.services.steps.forgetting import UnknownClassError
from app.services.steps.plans import CorrectPlan, LearnPlan
from app.services.steps.publication import Outcome
from app.services.upkeep import manifests, reindexing
from app.settings import Settings
from app.storage import open_store
from tests.app.services.steps.test_forgetting import claimed, held_out, images_of, run
from tests.app.services.steps.test_twins import BMP, send
from tests.databases import ONE_KIND_AT_FIRST
from tests.worker.harness import WORKSPACE, Service, metrics_of


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


class Taught:
    """A classifier that has learnt a and b, 6 images each, of which 2 are exemplars, 2 held out."""

    def __init__(self, service: Service) -> None:
        service.classifier(validation_fraction=0.25)
        self.service = service
        self.upload = service.upload("a", "b", count=8)
        run(service, service.learn(self.upload))
        self.images = {label: images_of(service, self.upload, label) for label in "ab"}
        self.held_out = held_out(service, 1)
        with service.db.reading() as session:
            rows = session.execute(
                select(VersionClass.label, RankingImage.sha256)
                .join(RankingImage, RankingImage.ranking_id == VersionClass.ranking_id)
                .order_by(RankingImage.rank)
            )
            self.exemplars: dict[str, list[str]] = {"a": [], "b": []}
            for label, sha256 in rows:
                self.exemplars[label].append(sha256)
        # Trained on, not exemplars.
        self.others = {
            label: sorted(
                self.images[label] - set(self.exemplars[label]) - set(self.held_out[index])
            )
            for index, label in enumerate("ab")
        }


def publish(service: Service, job_id: str, residual: tuple[str, ...] = ("head",)) -> CorrectPlan:
    """Publish what a method with a memory makes of a correction."""
    lease, plan = claimed(service, job_id)
    assert isinstance(plan, CorrectPlan)
    data = plan.job_id.encode()
    made = Outcome(
        spec=plan.spec,
        parts={"head": SizedImage(open_store(service.settings.storage_url).put(data), len(data))},
        rankings={
            column: [image.sha256 for image in plan.classes[column].exemplars]
            for column in plan.edited
        },
        kept=tuple(len(planned.exemplars) for planned in plan.classes),
        metrics=metrics_of(plan, 0.5),
        warnings=[],
        residual=residual,
    )
    assert lease.publish(plan, made) is not None
    return plan


def next_step(service: Service, *uploads: str, **fields: Any) -> LearnPlan:
    """The plan of a learning step, which is then cancelled."""
    job_id = service.learn(uploads[0], uploads=list(uploads), on_existing="extend", **fields)
    lease, plan = claimed(service, job_id)
    assert isinstance(plan, LearnPlan)
    service.cancel(job_id)
    lease.cancelled()
    return plan


def known(service: Service, number: int) -> dict[str, set[str]]:
    """The images that a version rests on, by label."""
    (version,) = [version for version in service.versions() if version.number == number]
    with service.db.reading() as session:
        found: dict[str, set[str]] = {}
        for label, row in trained_rows.trained(session, version.id):
            if not row.taken_out:
                found.setdefault(label, set()).add(row.sha256)
        return found


def test_images_go_to_another_class_or_out(service: Service) -> None:
    toy = Taught(service)
    exemplar, other = toy.exemplars["a"][0], toy.others["a"][0]
    measured, dropped = toy.held_out[0]
    job_id = service.correct({exemplar: "b", other: None, measured: "b", dropped: None})
    plan = publish(service, job_id)
    a, b = plan.classes
    assert [image.sha256 for image in a.exemplars] == toy.exemplars["a"][1:]
    assert [image.sha256 for image in b.exemplars] == [*toy.exemplars["b"], exemplar]
    assert (a.held_out, a.new_held_out) == ((), ())
    assert (b.held_out, b.new_held_out) == (tuple(toy.held_out[1]), (measured,))
    assert (a.train_images, b.train_images) == (4, 7)
    assert plan.edited == (0, 1)
    # The version after it, and the one before, which stays as it was.
    assert known(service, 2) == {
        "a": toy.images["a"] - {exemplar, other, measured, dropped},
        "b": (toy.images["b"] - set(toy.held_out[1])) | {exemplar},
    }
    assert held_out(service, 2) == {1: [*toy.held_out[1], measured]}
    assert held_out(service, 1) == toy.held_out
    assert known(service, 1)["a"] == toy.images["a"] - set(toy.held_out[0])
    assert service.versions()[1].memory["exemplars"] == 4
    assert service.versions()[1].memory["held_out"] == 3
    report = jobs.report(service.db, WORKSPACE, job_id)
    assert isinstance(report, CorrectionsView)
    assert [(image.before, image.label, image.used) for image in report.images] == [
        (["a"], "b", "exemplar"),
        (["a"], None, "trained"),
        (["a"], "b", "held_out"),
        (["a"], None, "held_out"),
    ]
    assert report.residual == ["head"]


def test_what_is_sent_again_does_not_undo_a_correction(service: Service) -> None:
    toy = Taught(service)
    moved, left_out, measured = toy.others["a"][0], toy.others["a"][1], toy.held_out[0][0]
    publish(service, service.correct({moved: "b", left_out: None, measured: None}))
    again = service.upload("a", "b", count=9)
    plan = next_step(service, again)
    fresh = {(plan.classes[image.column].label, image.sha256) for image in plan.fresh}
    corrected = {moved, left_out, measured}
    assert not corrected & {sha256 for _, sha256 in fresh}
    assert not corrected & {sha256 for planned in plan.classes for sha256 in planned.new_held_out}
    assert any(w.startswith("3 images are left out, since a correction") for w in plan.warnings)
    assert not any("several labels" in warning for warning in plan.warnings)
    # What was learnt and is no exemplar is said to be known: analytic does not add it again.
    known_again = {image.sha256 for image in plan.fresh if image.again}
    assert known_again == {*toy.others["a"], *toy.others["b"]} - corrected
    assert len(fresh) - len(known_again) == 2  # the ninth of each class


def test_a_corrected_image_is_known_under_its_new_label(service: Service) -> None:
    service.classifier(validation_fraction=0.2)
    sent = [send(service, range(10)), send(service, range(10, 20), label="b")]
    run(service, service.learn(sent[0], uploads=sent))
    aside = {sha256 for hashes in held_out(service, 1).values() for sha256 in hashes}
    moved, left_out = sorted(images_of(service, sent[0], "a") - aside)[:2]
    with service.db.reading() as session:
        names = {image.sha256: image.name for image in learning_rows.images_of(session, sent)}
    publish(service, service.correct({moved: "b", left_out: None}))
    numbers = [int(names[sha256].removesuffix(".img")) for sha256 in (moved, left_out)]
    third = [send(service, range(n, n + 1), BMP, label="c", split="test") for n in numbers]
    plan = next_step(service, *third, send(service, range(50, 60), label="c"))
    (warning,) = [w for w in plan.warnings if "several labels" in w]
    assert f"'{numbers[0]}.img' of 'c' and an image of 'b' that was sent before" in warning
    assert "'a'" not in warning
    # Neither is measured on: the one was trained on, and so may the other have been.
    assert any(w.startswith("2 test images are not measured on") for w in plan.warnings)


@pytest.mark.parametrize("deleted", [(1,), (2,), (1, 2), (2, 3)])
def test_corrections_outlive_the_versions_before(
    service: Service, deleted: tuple[int, ...]
) -> None:
    """There and back: version 2 moves images from a to b, version 3 moves one of each back."""
    toy = Taught(service)
    trained, measured = toy.others["a"][:2], toy.held_out[0]
    publish(service, service.correct(dict.fromkeys([*trained, *measured], "b")))
    publish(service, service.correct({trained[0]: "a", measured[0]: "a"}))
    run(service, service.learn(service.upload("e", count=8)))
    now_known, now_held_out = known(service, 4), held_out(service, 4)
    assert trained[0] in now_known["a"]
    assert trained[1] in now_known["b"]
    assert (now_held_out[0], now_held_out[1][-1]) == ([measured[0]], measured[1])
    for number in deleted:
        versions.delete(service.db, WORKSPACE, "toy", str(number))
    assert known(service, 4) == now_known
    assert {index: set(images) for index, images in held_out(service, 4).items()} == {
        index: set(images) for index, images in now_held_out.items()
    }
    # And corrected again.
    publish(service, service.correct({trained[1]: None, measured[1]: None}))
    assert trained[1] not in known(service, 5)["b"]
    assert measured[1] not in held_out(service, 5)[1]


def test_corrections_are_in_the_manifests(
    service: Service, settings: Settings, migrated_sqlite: Path, tmp_path: Path
) -> None:
    toy = Taught(service)
    moved, measured = toy.exemplars["a"][0], toy.held_out[0]
    publish(service, service.correct({moved: "b", measured[0]: "b", measured[1]: None}))
    store = open_store(settings.storage_url)
    manifests.write(service.db, store, service.versions()[0].classifier_id)
    shutil.copy(migrated_sqlite, tmp_path / "new.db")
    restored = Service(Database(f"sqlite:///{tmp_path / 'new.db'}"), settings)
    assert reindexing.reindex(restored.db, store).problems == []
    for number in (1, 2):
        assert known(restored, number) == known(service, number)
        assert held_out(restored, number) == held_out(service, number)
    restored.db.close()


def test_documents_of_older_releases_tell_which_class_it_was(service: Service) -> None:
    """They have three fields of an image, as JSON arrays."""
    toy = Taught(service)
    (version,) = service.versions()
    with service.db.reading() as session:
        manifest = manifests._version(session, version)
    document = json.loads(manifest.model_dump_json())
    document["trained"] = {
        label: [row[:3] for row in rows] for label, rows in document["trained"].items()
    }
    old = manifests.VersionManifest.model_validate(document)
    assert reindexing._trained(old) == manifest.trained
    assert {row.sha256 for row in manifest.trained["a"]} == toy.images["a"] - set(toy.held_out[0])


def test_a_picture_is_found_by_its_pixels(service: Service) -> None:
    toy = Taught(service)
    image = toy.others["a"][0]
    with service.db.reading() as session:
        pixels = session.get_one(Image, image).pixels_sha256
    assert pixels is not None
    plan = publish(service, service.correct({pixels: "b"}))
    assert plan.images[0].files == (image,)


@ONE_KIND_AT_FIRST
def test_what_cannot_be_corrected(service: Service) -> None:
    toy = Taught(service)
    one, two = toy.others["a"][:2]
    with pytest.raises(UnknownImageError) as unknown:
        service.correct({one: "b", "0" * 64: "b"})
    assert [error.pointer for error in unknown.value.errors] == ["/images/1/sha256"]
    with pytest.raises(UnknownClassError, match="send them under the new label") as label:
        service.correct({one: "b", two: "x"})
    assert [error.pointer for error in label.value.errors] == ["/images/1/label"]
    with pytest.raises(CannotCorrectError, match="change nothing") as same:
        service.correct({one: "b", two: "a"})
    assert [error.pointer for error in same.value.errors] == ["/images/1/label"]
    with service.db.reading() as session:
        pixels = session.get_one(Image, one).pixels_sha256
    assert pixels is not None
    with pytest.raises(CannotCorrectError) as twice:
        service.correct({one: "b", pixels: None})
    assert [error.pointer for error in twice.value.errors] == ["/images/1/sha256"]
    with pytest.raises(CannotCorrectError, match="forget it instead"):
        service.correct(dict.fromkeys([*toy.exemplars["a"], *toy.others["a"]]))
    with pytest.raises(CannotCorrectError, match="No exemplar would be left of 'a'"):
        service.correct(dict.fromkeys(toy.exemplars["a"], "b"))
    # A second job for the same image is refused when it starts.
    first, second = service.correct({one: "b"}), service.correct({one: "b"})
    publish(service, first)
    with pytest.raises(CannotCorrectError, match="change nothing"):
        claimed(service, second)


@ONE_KIND_AT_FIRST
def test_without_kept_features_only_held_out_images_are_corrected(service: Service) -> None:
    service.classifier(
        method="analytic",
        backbone="efficientnet_lite0",
        weights="DEFAULT",
        image_size=32,
        options={"forgettable": "nothing"},
        validation_fraction=0.25,
    )
    upload = service.upload("a", "b", count=8)
    run(service, service.learn(upload))
    measured = held_out(service, 1)[0][0]
    trained = sorted(images_of(service, upload, "a") - set(held_out(service, 1)[0]))[0]
    with pytest.raises(CannotCorrectError, match="forgettable"):
        service.correct({trained: "b"})
    plan = publish(service, service.correct({measured: "b"}), residual=())
    assert plan.images[0].held_out
