"""Exemplars kept as WebP: what is stored, what it counts as, and that it is still recognised."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from sqlalchemy import select

from app.db.engine import Database
from app.db.repositories import (
    learning as learning_rows,
    trained as trained_rows,
    versions as version_rows,
)
from app.db.repositories.learning import SizedImage
from app.db.tables import Classifier, Image, Version
from app.imaging.decode import decode
from app.imaging.webp import WebP
from app.services.classifiers import classifiers
from app.services.classifiers.classifiers import ClassifierPatch
from app.services.classifiers.version_views import MemoryView
from app.services.steps.plans import LearnPlan
from app.services.steps.publication import Outcome
from app.services.upkeep import manifests, reindexing, sweeping
from app.services.uploads import uploads
from app.services.uploads.sources import Item, UploadLimits
from app.storage import open_store
from models.spec import Spec
from tests.databases import ONE_KIND_AT_FIRST
from tests.pictures import jpeg
from tests.worker.harness import NO_CACHE, ROOM, WORKSPACE, Service
from worker import child, reading
from worker.attempt import Attempt
from worker.lease import Lease
from worker.protocol import Failure, Message, Resources
from worker.reencoding import Reencoder, is_needed

pytestmark = ONE_KIND_AT_FIRST

SIDE = 32
WEBP = {"exemplars": 6, "format": "webp", "quality": 60}


class Photographs:
    """A source of pictures that are larger than the network's; `seeds` by label."""

    def __init__(self, **seeds: Sequence[int]) -> None:
        self.seeds = seeds

    def items(self, _limits: UploadLimits) -> Iterator[Item]:
        for label, seeds in self.seeds.items():
            for seed in seeds:
                yield Item(f"{label}/{seed}.jpg", label, jpeg(seed, 96, 64, quality=95))

    def close(self) -> None:
        pass


class Teaching:
    """A service whose jobs run in this process."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.store = open_store(service.settings.storage_url)

    def classifier(self, memory: dict[str, object] = WEBP) -> None:
        self.service.classifier(
            method="replay", image_size=SIDE, memory=memory, validation_fraction=0.0, epochs=1
        )

    def upload(self, source: Photographs) -> str:
        limits = UploadLimits.of(self.service.settings)
        return uploads.create(self.service.db, self.store, WORKSPACE, source, limits=limits).id

    def start(self, upload: str, **fields: object) -> tuple[Lease, Attempt]:
        return self.begun(self.service.learn(upload, **fields))

    def begun(self, job: str) -> tuple[Lease, Attempt]:
        lease = Lease.claim(self.service.db, self.service.settings, job, "wrk_1")
        assert lease is not None
        resources = Resources(
            self.service.settings.storage_url, "cpu", 1, None, 60.0, NO_CACHE, ROOM
        )
        said: list[Message] = []
        return lease, Attempt(lease.plan(), resources, said.append)

    def learn(self, source: Photographs | str, **fields: object) -> Version:
        upload = source if isinstance(source, str) else self.upload(source)
        lease, attempt = self.start(upload, **fields)
        outcome = child.run(attempt)
        assert isinstance(outcome, Outcome), outcome
        assert lease.publish(attempt.plan, outcome)
        return self.service.versions()[-1]

    def exemplars(self, version: Version) -> list[SizedImage]:
        with self.service.db.reading() as session:
            found = learning_rows.exemplars(session, version.id)
        return [image for index in sorted(found) for image in found[index]]

    def trained(self, version: Version) -> set[str | None]:
        """Return the pixels' hashes of what a version itself was trained on."""
        with self.service.db.reading() as session:
            found = trained_rows.own_trained(session, version.id)
        return {image.pixels_sha256 for images in found.values() for image in images}

    def pictures(self, images: Sequence[SizedImage]) -> list[str | None]:
        """Return the pixels' hashes that images are recognised by, in their order."""
        return [self.row(image).pixels_sha256 for image in images]

    def row(self, image: SizedImage) -> Image:
        with self.service.db.reading() as session:
            return session.get_one(Image, image.sha256)


@pytest.fixture
def teaching(service: Service) -> Teaching:
    return Teaching(service)


def by_hand(seed: int, quality: int) -> bytes:
    """What becomes of a photograph, by Pillow's own means."""
    pixels = decode(jpeg(seed, 96, 64, quality=95), SIDE)
    file = io.BytesIO()
    PillowImage.fromarray(pixels).save(file, "WEBP", quality=quality, method=4)
    return file.getvalue()


def test_exemplars_are_what_pillow_makes_of_the_networks_view(teaching: Teaching) -> None:
    teaching.classifier()
    version = teaching.learn(Photographs(a=range(5), b=range(10, 15)))
    expected = {by_hand(seed, 60) for seed in (*range(5), *range(10, 15))}
    kept = teaching.exemplars(version)
    assert len(kept) == 6
    files = [teaching.store.get(image.sha256) for image in kept]
    assert set(files) <= expected
    assert [image.size for image in kept] == list(map(len, files))
    memory = MemoryView.model_validate(version.memory)
    assert memory.bytes == sum(map(len, files))
    assert memory.encoder == WebP(quality=60)
    rows = [teaching.row(image) for image in kept]
    assert {(row.media_type, row.width, row.height) for row in rows} == {("image/webp", 32, 32)}


def test_the_byte_budget_counts_re_encoded_bytes(teaching: Teaching) -> None:
    sizes = sorted(len(by_hand(seed, 75)) for seed in range(8))
    original = len(jpeg(0, 96, 64, quality=95))
    room = sizes[-1] * 3
    assert original > room  # not one photograph would fit
    teaching.classifier({"megabytes": room / 1e6, "format": "webp"})
    version = teaching.learn(Photographs(a=range(8)))
    kept = teaching.exemplars(version)
    assert sum(image.size for image in kept) <= room
    assert len(kept) >= 3
    # One byte less than the smallest: found once sizes are known, before training.
    patch = {"memory": {"megabytes": (2 * sizes[0] - 1) / 1e6}}
    patched = ClassifierPatch.model_validate(patch)
    classifiers.change(teaching.service.db, WORKSPACE, "toy", patched)
    _, attempt = teaching.start(teaching.upload(Photographs(b=range(20, 23))))
    failure = child.run(attempt)
    assert isinstance(failure, Failure)
    assert failure.code == "memory-too-small"


def test_an_exemplar_that_is_sent_again_is_recognised(teaching: Teaching) -> None:
    teaching.classifier()
    first = teaching.learn(Photographs(a=range(5), b=range(10, 15)))
    kept = teaching.exemplars(first)
    known = set(teaching.pictures(kept))
    assert known < teaching.trained(first)
    again = teaching.learn(Photographs(a=[*range(5), 5], b=range(10, 15)), on_existing="extend")
    # It is trained on as the exemplar that it is, and not as a new image too.
    assert not teaching.trained(again) & known
    second = teaching.exemplars(again)
    pictures = teaching.pictures(second)
    assert len(set(pictures)) == len(pictures)
    # And what was kept before is not encoded once more.
    before = {image.sha256 for image in kept}
    assert all(
        (image.sha256 in before) == (p in known) for image, p in zip(second, pictures, strict=True)
    )


def test_an_exemplar_that_a_client_sends_back_is_recognised_too(teaching: Teaching) -> None:
    teaching.classifier()
    first = teaching.learn(Photographs(a=range(5), b=range(10, 15)))
    kept = teaching.exemplars(first)
    stored = teaching.store.get(kept[0].sha256)

    class Returned(Photographs):
        def items(self, limits: UploadLimits) -> Iterator[Item]:
            yield from super().items(limits)
            yield Item("a/back.webp", "a", stored)

    again = teaching.learn(Returned(a=[6]), on_existing="extend")
    assert not teaching.trained(again) & set(teaching.pictures(kept))


def test_another_format_is_for_new_exemplars_alone(teaching: Teaching) -> None:
    teaching.classifier({"exemplars": 6})
    first = teaching.learn(Photographs(a=range(5)))
    assert MemoryView.model_validate(first.memory).encoder is None
    before = {image.sha256 for image in teaching.exemplars(first)}
    patch = ClassifierPatch.model_validate({"memory": WEBP})
    classifiers.change(teaching.service.db, WORKSPACE, "toy", patch)
    second = teaching.learn(Photographs(b=range(10, 15)))
    types = [teaching.row(image).media_type for image in teaching.exemplars(second)]
    assert types == ["image/jpeg"] * 3 + ["image/webp"] * 3
    assert {image.sha256 for image in teaching.exemplars(second)[:3]} <= before
    # Another limit alone leaves the format as it is.
    patch = ClassifierPatch.model_validate({"memory": {"exemplars": 9}})
    view = classifiers.change(teaching.service.db, WORKSPACE, "toy", patch)
    assert view.memory.model_dump() == {
        "exemplars": 9,
        "megabytes": None,
        "format": "webp",
        "quality": 60,
    }


def test_the_next_step_sees_the_pixels_that_this_one_was_given(teaching: Teaching) -> None:
    teaching.classifier()
    lease, attempt = teaching.start(teaching.upload(Photographs(a=range(5), b=range(10, 15))))
    assert isinstance(attempt.plan, LearnPlan)
    reencoder = Reencoder.of(attempt.spec, ROOM, len(attempt.plan.fresh), on_disk=False)
    assert reencoder is not None
    reading.read(attempt, attempt.plan, reencoder)
    files = map(reencoder.file, range(len(reencoder.images)))
    pixels = dict(zip(files, reencoder.images.numpy(), strict=True))
    outcome = child.run(attempt)
    assert isinstance(outcome, Outcome)
    lease.publish(attempt.plan, outcome)
    _, attempt = teaching.start(teaching.upload(Photographs(c=range(20, 23))))
    assert isinstance(attempt.plan, LearnPlan)
    planned = [image.sha256 for c in attempt.plan.classes for image in c.exemplars]
    data = reading.read(attempt, attempt.plan)
    for sha256, image in zip(planned, data.images.numpy(), strict=False):
        assert np.array_equal(image, pixels[attempt.store.get(sha256)])


def test_joint_keeps_every_image_so_and_finetune_none(teaching: Teaching) -> None:
    fields = {"image_size": SIDE, "memory": WEBP, "validation_fraction": 0.0, "epochs": 1}
    teaching.service.classifier(method="joint", **fields)
    version = teaching.learn(Photographs(a=range(4)))
    kept = {teaching.store.get(image.sha256) for image in teaching.exemplars(version)}
    assert kept == {by_hand(seed, 60) for seed in range(4)}
    spec = Spec.model_validate(version.spec)
    assert Reencoder.of(spec, ROOM, 4, on_disk=False) is not None
    assert not is_needed(spec.model_copy(update={"method": "finetune"}))


def test_another_attempt_makes_the_same_version(teaching: Teaching) -> None:
    teaching.classifier()
    _, attempt = teaching.start(teaching.upload(Photographs(a=range(5), b=range(10, 15))))
    first, second = child.run(attempt), child.run(attempt)
    assert isinstance(first, Outcome)
    assert first == second


def test_a_purge_deletes_the_re_encoded_too(teaching: Teaching) -> None:
    teaching.classifier()
    version = teaching.learn(Photographs(a=range(5), b=range(10, 15)))
    kept = teaching.exemplars(version)
    lease, attempt = teaching.begun(teaching.service.forget("a", purge="now"))
    outcome = child.run(attempt)
    assert isinstance(outcome, Outcome)
    lease.publish(attempt.plan, outcome)
    assert [teaching.store.exists(image.sha256) for image in kept] == [False] * 3 + [True] * 3
    left = teaching.exemplars(teaching.service.versions()[-1])
    assert left == kept[3:]


def test_what_is_kept_outlives_the_upload_and_the_database(
    teaching: Teaching, migrated_sqlite: Path, tmp_path: Path
) -> None:
    teaching.classifier()
    upload = teaching.upload(Photographs(a=range(5)))
    version = teaching.learn(upload)
    service, kept = teaching.service, teaching.exemplars(version)
    with service.db.reading() as session:
        (classifier,) = session.scalars(select(Classifier))
        blobs = version_rows.blobs_of(session, [version.id])
    assert {image.sha256 for image in kept} <= blobs
    uploads.delete(service.db, WORKSPACE, upload)
    no_grace = service.settings.model_copy(update={"sweep_grace_hours": 0.0})
    for _ in range(2):  # the first marks what the second deletes
        sweeping.sweep(service.db, teaching.store, no_grace)
    with service.db.reading() as session:
        left = {image.media_type for image in session.scalars(select(Image))}
    assert left == {"image/webp"}  # no photograph
    assert all(teaching.store.exists(image.sha256) for image in kept)
    manifests.write(service.db, teaching.store, classifier.id)
    copy = tmp_path / "new.db"
    copy.write_bytes(migrated_sqlite.read_bytes())
    restored = Database(f"sqlite:///{copy}")
    assert not reindexing.reindex(restored, teaching.store).problems
    with restored.reading() as session:
        (again,) = session.scalars(select(Version))
        assert learning_rows.exemplars(session, again.id)[0] == kept
        assert again.memory == version.memory
        found = [session.get_one(Image, image.sha256).pixels_sha256 for image in kept]
    assert found == teaching.pictures(kept)
    restored.close()
