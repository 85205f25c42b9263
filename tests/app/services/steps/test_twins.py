"""A picture that was trained on is not measured on: not in another file, nor in a later upload.

All pictures are pure noise, so only the pixels tell them apart.
"""

import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from app.db.engine import Database
from app.db.repositories import jobs as job_rows, learning as learning_rows
from app.db.tables import TrainedImage
from app.services.classifiers import versions
from app.services.steps.plans import LearnPlan
from app.services.uploads import uploads
from app.services.uploads.sources import Item, Split, UploadLimits
from app.settings import Settings
from app.storage import open_store
from tests.app.services.steps.test_forgetting import run
from tests.app.services.steps.test_learning import finish, start
from tests.databases import ONE_KIND_AT_FIRST
from tests.worker.harness import WORKSPACE, Service

Encode = Callable[[Image.Image], bytes]


def encoder(form: str, **options: int | bool) -> Encode:
    def encode(picture: Image.Image) -> bytes:
        file = io.BytesIO()
        picture.save(file, form, **options)
        return file.getvalue()

    return encode


PNG, BMP, WEBP = encoder("PNG"), encoder("BMP"), encoder("WEBP", lossless=True)
JPEG = encoder("JPEG", quality=90)


class Noise:
    """A source of pure noise: picture `number` is the same whatever its file and its label."""

    def __init__(self, label: str, numbers: range, encode: Encode, split: Split) -> None:
        self.label, self.numbers, self.encode, self.split = label, numbers, encode, split

    def items(self, _limits: UploadLimits) -> Iterator[Item]:
        for number in self.numbers:
            draw = np.random.default_rng(number)
            picture = Image.fromarray(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            yield Item(f"{number}.img", self.label, self.encode(picture), self.split)

    def close(self) -> None:
        pass


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    made = Service(database, settings)
    made.classifier(validation_fraction=0.2)
    return made


def send(
    service: Service,
    numbers: range,
    encode: Encode = PNG,
    label: str = "a",
    split: Split = "train",
) -> str:
    source = Noise(label, numbers, encode, split)
    store = open_store(service.settings.storage_url)
    limits = UploadLimits.of(service.settings)
    return uploads.create(service.db, store, WORKSPACE, source, limits=limits).id


def numbers_of(service: Service, plan: LearnPlan) -> tuple[set[int], set[int]]:
    """The numbers of the pictures that the plan trains on, and that it newly measures on."""
    with service.db.reading() as session:
        rows = {
            image.sha256: int(image.name.removesuffix(".img"))
            for image in learning_rows.images_of(session, job_rows.uploads_of(session, plan.job_id))
        }
    measured = {sha256 for c in plan.classes for sha256 in c.new_held_out}
    return {rows[image.sha256] for image in plan.fresh}, {rows[sha256] for sha256 in measured}


def learnt(service: Service, *sent: str, **fields: object) -> tuple[set[int], set[int]]:
    """Learn uploads and return the numbers of what was trained on and newly measured on."""
    lease, plan = start(service, *sent, **fields)
    numbers = numbers_of(service, plan)
    finish(service, lease, plan, kept=2)
    return numbers


@pytest.mark.parametrize("encode", [PNG, BMP, WEBP, JPEG])
def test_what_was_trained_on_is_remembered_after_its_upload_is_gone(
    service: Service, encode: Encode
) -> None:
    upload = send(service, range(40))
    trained, measured = learnt(service, upload)
    assert (len(trained), len(measured)) == (32, 8)
    uploads.delete(service.db, WORKSPACE, upload)
    again, newly = learnt(service, send(service, range(60), encode), on_existing="extend")
    # Of the 20 new ones, a fifth is held out; none of the old ones changes its side.
    assert len(newly) == 4
    assert newly <= set(range(40, 60))
    assert not again & (measured | newly)


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("encode", [BMP, JPEG])
def test_test_images_that_were_trained_on_are_not_measured_on(
    service: Service, encode: Encode
) -> None:
    upload = send(service, range(20))
    trained, measured = learnt(service, upload)
    uploads.delete(service.db, WORKSPACE, upload)
    tests = send(service, range(30), encode, split="test")
    lease, plan = start(service, tests, send(service, range(100, 105)), on_existing="extend")
    _, newly = numbers_of(service, plan)
    # One of the five new ones is held out.
    assert newly - set(range(100, 105)) == set(range(30)) - trained - (
        measured if encode is BMP else set()
    )
    assert any(
        w.startswith(f"{len(trained)} test images are not measured on") for w in plan.warnings
    )
    finish(service, lease, plan)


def test_copies_in_one_step_are_on_one_side(service: Service) -> None:
    both = [send(service, range(40)), send(service, range(40), JPEG)]
    trained, measured = learnt(service, *both)
    assert not trained & measured
    assert trained | measured == set(range(40))
    # A fifth of the 80 files: 8 pictures with both of their files.
    assert len(measured) == 8


@ONE_KIND_AT_FIRST
def test_test_images_like_training_images_are_not_measured_on(service: Service) -> None:
    sent = [send(service, range(10)), send(service, range(14), JPEG, split="test")]
    lease, plan = start(service, *sent)
    _, measured = numbers_of(service, plan)
    # Two of the ten are held out of the training images.
    assert measured - set(range(10)) == set(range(10, 14))
    assert len(measured) == 4 + 2
    assert any(w.startswith("10 test images are not measured on") for w in plan.warnings)
    finish(service, lease, plan)


@ONE_KIND_AT_FIRST
def test_nearly_the_same_picture_under_two_labels_is_said(service: Service) -> None:
    learnt(service, send(service, range(5)))
    lease, plan = start(service, send(service, range(4, 9), JPEG, label="b"))
    (warning,) = [w for w in plan.warnings if "several labels" in w]
    assert "'4.img' of 'b' and an image of 'a' that was sent before" in warning
    finish(service, lease, plan)
    _, plan = start(
        service,
        send(service, range(50, 53), label="c"),
        send(service, range(52, 55), BMP, label="d"),
    )
    (warning,) = [w for w in plan.warnings if "several labels" in w]
    assert "'52.img' of 'c' and '52.img' of 'd'" in warning


@ONE_KIND_AT_FIRST
def test_a_class_whose_images_all_look_alike_is_said(service: Service) -> None:
    """As from a fixed camera: more images of the same view would not be measured on either."""
    fixed = [send(service, [7], encode, label="fixed") for encode in (BMP, JPEG)]
    _, plan = start(service, *fixed, send(service, range(20, 30)))
    (warning,) = [w for w in plan.warnings if w.startswith("All images of a class look alike")]
    assert warning.endswith("images of other views: 'fixed'")
    held_out = {planned.label: planned.new_held_out for planned in plan.classes}
    assert held_out["fixed"] == ()


@ONE_KIND_AT_FIRST
def test_different_pictures_are_not_warned_of(service: Service) -> None:
    _, plan = start(service, send(service, range(60)), send(service, range(60, 120), label="b"))
    assert plan.warnings == ()


def test_what_a_deleted_version_was_trained_on_is_known_to_its_children(service: Service) -> None:
    first, second = send(service, range(20)), send(service, range(20, 40), label="b")
    learnt(service, first)
    learnt(service, second)
    versions.delete(service.db, WORKSPACE, "toy", "1")
    for upload in (first, second):
        uploads.delete(service.db, WORKSPACE, upload)
    sent = [send(service, range(20), JPEG), send(service, range(100, 110))]
    _, plan = start(service, *sent, on_existing="extend")
    _, newly = numbers_of(service, plan)
    # A fifth of the new ones.
    assert len(newly) == 2
    assert newly <= set(range(100, 110))


def test_a_purge_forgets_that_a_class_was_trained_on(service: Service) -> None:
    learnt(service, send(service, range(20)))
    learnt(service, send(service, range(20, 40), label="b"))
    run(service, service.forget("b", purge=True))
    with service.db.reading() as session:
        labels = {row.label for row in session.query(TrainedImage)}
    assert labels == {"a"}
