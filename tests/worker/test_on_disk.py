"""Jobs whose images take more than ACCRUE_TRAIN_MEMORY: the same version, nothing left behind."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from app.db.repositories import versions as version_rows
from app.services.steps.publication import Outcome
from app.settings import Settings
from models.errors import LearningError
from tests.databases import ONE_KIND_AT_FIRST
from tests.disk import fill
from tests.worker.harness import (
    FOREVER,
    NO_CACHE,
    ROOM,
    SIZE,
    Place,
    Service,
    served,
    training_process,
)
from worker import child, encoded, pixels
from worker.attempt import Attempt
from worker.lease import Lease
from worker.protocol import Failure, Message, Resources
from worker.room import ImageRoom

# Of each image of these classifiers.
BYTES = 3 * SIZE**2


def attempt(service: Service, job: str, room: ImageRoom) -> tuple[Lease, Attempt]:
    lease = Lease.claim(service.db, service.settings, job, "wrk_1")
    assert lease is not None
    resources = Resources(service.settings.storage_url, "cpu", 1, None, 60.0, NO_CACHE, room)
    said: list[Message] = []
    return lease, Attempt(lease.plan(), resources, said.append)


def parts_of_two_steps(service: Service, name: str, room: ImageRoom, **fields: object) -> object:
    """Learn two steps in this process; return the hashes of the second version's tensors."""
    service.classifier(name, seed=3, validation_fraction=0.2, **fields)
    for labels in ("ab", "cd"):
        lease, begun = attempt(service, service.learn(service.upload(*labels), name), room)
        outcome = child.run(begun)
        assert isinstance(outcome, Outcome), outcome
        assert lease.publish(begun.plan, outcome)
    with service.db.reading() as session:
        return version_rows.parts(session, service.versions()[-1].id)


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize(
    "fields",
    [
        {"method": "icarl"},
        {"method": "replay", "memory": {"exemplars": 12, "format": "webp"}},
    ],
)
def test_a_version_is_the_same_from_disk(
    service: Service, tmp_path: Path, fields: dict[str, object]
) -> None:
    room = ImageRoom(5 * BYTES, tmp_path / "scratch")
    memory = parts_of_two_steps(service, "memory", ROOM, **fields)
    assert parts_of_two_steps(service, "disk", room, **fields) == memory
    assert room.folder.is_dir()
    assert list(room.folder.iterdir()) == []


@ONE_KIND_AT_FIRST
def test_all_forms_count_together(service: Service, tmp_path: Path) -> None:
    """8 images to train on in two forms, and 2 held out: 18; and 8 files of a third each."""
    for count, on_disk in ((20, True), (21, False)):
        room = ImageRoom(count * BYTES, tmp_path / str(count))
        name = f"of{count}"
        service.classifier(
            name,
            method="replay",
            validation_fraction=0.2,
            memory={"exemplars": 12, "format": "webp"},
        )
        job = service.learn(service.upload("a", "b", count=5), name)
        _, begun = attempt(service, job, room)
        assert isinstance(child.run(begun), Outcome)
        assert room.folder.exists() == on_disk


@ONE_KIND_AT_FIRST
def test_a_full_disk_is_said_before_training(service: Service, small_disk: Path) -> None:
    room = ImageRoom(5 * BYTES, small_disk)
    service.classifier()
    filler = fill(small_disk)
    job = service.learn(service.upload("a", "b"))
    _, begun = attempt(service, job, room)
    failure = child.run(begun)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.again, failure.retryable) == ("scratch-full", False, True)
    for part in (str(small_disk), f"{5 * BYTES:,}", "ACCRUE_TRAIN_MEMORY", "retry the job"):
        assert part in failure.detail
    assert begun.reporter.progress["epoch"] is None
    assert list(small_disk.iterdir()) == [filler]
    filler.unlink()
    assert isinstance(child.run(replace(begun)), Outcome)


@ONE_KIND_AT_FIRST
def test_a_folder_that_cannot_be_written_to_is_named(service: Service, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    room = ImageRoom(5 * BYTES, tmp_path / "file" / "scratch")
    service.classifier()
    _, begun = attempt(service, service.learn(service.upload("a", "b")), room)
    failure = child.run(begun)
    assert isinstance(failure, Failure)
    assert failure.code == "storage-failed"
    for part in (str(room.folder), "Not a directory", "let its user write", "ACCRUE_TRAIN_MEMORY"):
        assert part in failure.detail


@pytest.mark.parametrize("on_disk", [True, False])
def test_files_come_back_from_any_thread(tmp_path: Path, *, on_disk: bool) -> None:
    draw = np.random.default_rng(0)
    sent = [draw.bytes(size) for size in draw.integers(0, 3 * SIZE**2, 100)]
    room = encoded.files(ImageRoom(0, tmp_path), len(sent), SIZE, on_disk=on_disk)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(room.put, reversed(range(100)), reversed(sent)))
    assert room.sizes == list(map(len, sent))
    assert [room.get(index) for index in range(100)] == sent
    assert list(tmp_path.iterdir()) == []


def test_the_disk_is_never_filled(small_disk: Path) -> None:
    """The database, uploads and checkpoints may be on it: a twentieth stays free."""
    room, side = ImageRoom(0, small_disk), 100
    disk = os.statvfs(small_disk)
    free = disk.f_bavail * disk.f_frsize
    count = free // (3 * side**2)
    with pytest.raises(LearningError, match="no room") as error:
        pixels.images(room, count, side, on_disk=True)
    assert error.value.code == "scratch-full"
    assert os.statvfs(small_disk).f_bavail == disk.f_bavail
    fits = pixels.images(room, int(0.94 * count), side, on_disk=True)
    left = os.statvfs(small_disk)
    assert left.f_bavail * left.f_frsize >= free // 20
    assert len(fits.tensor) == int(0.94 * count)


def test_an_image_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the system takes a part of it at a time."""
    original = os.pwrite
    monkeypatch.setattr(
        "os.pwrite", lambda fd, data, at: original(fd, memoryview(data).cast("B")[:100], at)
    )
    image = np.random.default_rng(0).integers(1, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    room = pixels.images(ImageRoom(0, tmp_path), 2, SIZE, on_disk=True)
    room.write(1, image)
    assert (room.tensor[1].numpy() == image.transpose(2, 0, 1)).all()
    assert not room.tensor[0].any()


@pytest.fixture
def own_service(place: Place, tmp_path: Path) -> Iterator[Service]:
    with served(place(), tmp_path) as service:
        yield service


def scratch_files(pid: int) -> list[int]:
    """Return the bytes of the nameless files of a process's scratch folder."""
    files = Path(f"/proc/{pid}/fd").iterdir()
    return [file.stat().st_size for file in files if "/scratch/" in str(file.readlink())]


def test_nothing_is_left_of_a_process_that_was_killed(own_service: Service) -> None:
    service = own_service
    service.classifier(validation_fraction=0.2)
    job = service.learn(service.upload("a", "b"), options=FOREVER)
    with service.worker(train_memory=5 * BYTES) as worker:
        service.wait(job, lambda job: job.phase == "training", seconds=240)
        process = training_process(psutil.Process(worker.pid))
        assert scratch_files(process.pid) == [20 * BYTES]
        folder = service.settings.data_dir / "scratch"
        assert list(folder.iterdir()) == []
        process.kill()
        process.wait()
        assert list(folder.iterdir()) == []
        service.wait(job, lambda job: job.attempt > 1, seconds=240)


def test_the_room_by_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCRUE_TRAIN_MEMORY", "2g")
    room = ImageRoom.of(Settings(data_dir=tmp_path))
    assert room == ImageRoom(2 * 1024**3, tmp_path / "scratch")
    assert room.is_too_small(2 * 1024**3 // BYTES + 1, SIZE)
    assert not room.is_too_small(2 * 1024**3 // BYTES, SIZE)
    monkeypatch.delenv("ACCRUE_TRAIN_MEMORY")
    monkeypatch.setattr("worker.room.usable_memory", lambda: 4000)
    assert ImageRoom.of(Settings(data_dir=tmp_path)).limit == 1000
