"""The Python client on a running service: what it sends arrives, whatever happens meanwhile."""

import asyncio
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from accrue_client import (
    Accrue,
    AsyncAccrue,
    InvalidSourceError,
    JobFailedError,
    NotTakenWarning,
    Prediction,
    Unreadable,
    UploadInterruptedError,
    WaitTimeoutError,
    parts,
    problems,
)
from accrue_client.progress import Sending, Told

from tests.app.proxy import Proxy
from tests.e2e.harness import SMALL, Digits, Service

FIELDS = {**SMALL, "validation_fraction": 0.2}


@pytest.fixture
def accrue(service: Service) -> Iterator[Accrue]:
    with Accrue(service.url) as accrue:
        yield accrue


@pytest.fixture
def folder(digits: Digits, tmp_path: Path) -> Path:
    """Twenty images of each of two classes, in class folders."""
    for label in (0, 1):
        home = tmp_path / "photos" / str(label)
        home.mkdir(parents=True)
        for image in digits.images(label)[:20]:
            (home / image.name).write_bytes(image.read_bytes())
    return tmp_path / "photos"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of five images, so that forty are eight parts."""
    monkeypatch.setattr(parts, "PART_IMAGES", 5)


def address_of(service: Service) -> tuple[str, int]:
    address = urlsplit(service.url)
    assert address.hostname is not None
    assert address.port is not None
    return address.hostname, address.port


def proxied(service: Service) -> Proxy:
    return Proxy(*address_of(service))


def test_the_five_lines(accrue: Accrue, digits: Digits, folder: Path) -> None:
    flowers = accrue.classifiers.create("client-five", **FIELDS)
    told: list[Told] = []
    began = datetime.now(UTC)
    noted = {"description": "The first.", "metadata": {"owner": "Ann"}}
    version = flowers.learn(folder, **noted).wait(progress=told.append)
    assert version.number == 1
    assert (version.info.description, version.info.metadata) == tuple(noted.values())
    assert flowers.versions(since=began, metadata={"owner": "Ann"}) == [1]
    assert flowers.versions(metadata={"owner": "Bo"}) == []
    assert version.accuracy is not None
    assert told[-1].state == "succeeded"  # type: ignore[union-attr]
    held_out = digits.images(0, "test")
    assert flowers.predict(held_out[0]).label == "0"
    many = flowers.predict(held_out * 3)  # more than one batch
    assert len(many) == 3 * len(held_out)
    assert sum(each.label == "0" for each in many if isinstance(each, Prediction)) > len(many) / 2
    assert many[: len(held_out)] == many[len(held_out) : 2 * len(held_out)]
    bad, good = flowers.predict([b"no image", held_out[0]])
    assert isinstance(bad, Unreadable)
    assert isinstance(good, Prediction)
    with pytest.raises(problems.UnreadableImageError):
        flowers.predict(b"no image")
    with pytest.raises(InvalidSourceError, match="photos is a folder, and one image is asked for"):
        flowers.predict(folder)
    found = version.evaluate({"0": held_out, "1": digits.images(1, "test")})
    right = sum(found.confusion[label].get(label, 0) for label in found.confusion)
    assert found.accuracy == pytest.approx(right / found.info.images)
    assert len(found.images(wrong=True)) == found.info.images - right
    assert repr(flowers) == "<Classifier 'client-five'>"
    assert repr(version) == "<Version 1 of 'client-five'>"
    assert repr(found) == f"<Evaluation {found.info.images} images, accuracy {found.accuracy}>"


def test_awaited(service: Service, digits: Digits, folder: Path) -> None:
    async def journey() -> None:
        async with AsyncAccrue(service.url) as accrue:
            flowers = await accrue.classifiers.create("client-awaited", **FIELDS)
            version = await (await flowers.learn(folder)).wait()
            images = digits.images(1, "test")
            answers = [each async for each in flowers.predict_each(images * 3)]
            # Scores are equal but for rounding, which depends on what is in a batch.
            for answer, again in zip(answers, 3 * await flowers.predict(images), strict=True):
                assert isinstance(answer, Prediction)
                assert isinstance(again, Prediction)
                assert answer.label == again.label
                assert answer.score == pytest.approx(again.score, abs=1e-5)
            one = await flowers.predict(images[0], version=version.number, top_k=1)
            assert [ranked.label for ranked in one.ranked] == [one.label]
            archive = folder.with_suffix(".zip")
            archive.write_bytes(digits.zip((0, 1)))
            assert (await accrue.upload(archive)).accepted == 100
            with pytest.raises(problems.ClassifierExistsError):
                await accrue.classifiers.create("client-awaited")
            with pytest.raises(problems.VersionInUseError):
                await version.delete()

    asyncio.run(journey())


def names_of(service: Service, upload: str) -> list[tuple[str, str, str]]:
    images = service.http.get(f"/v1/uploads/{upload}/images", params={"limit": 1000}).json()
    return [(each["name"], each["label"], each["split"]) for each in images["data"]]


@pytest.mark.usefixtures("small_parts")
def test_parts_are_one_upload_in_the_order_of_the_folder(
    accrue: Accrue, service: Service, digits: Digits, tmp_path: Path
) -> None:
    around = tmp_path / "around"
    for split, count in (("train", 12), ("test", 4)):
        for label in (0, 1):
            home = around / "signs" / split / str(label)
            home.mkdir(parents=True)
            for image in digits.images(label, split)[:count]:
                (home / image.name).write_bytes(image.read_bytes())
    (around / "README.md").write_text("about")
    told: list[Any] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sent = accrue.upload(around, progress=told.append)
    assert sent.wrapping_folder == "signs"
    assert sent.classes == {"0": 16, "1": 16}
    files = sorted(path.relative_to(around).as_posix() for path in around.rglob("*.png"))
    expected = [(name, name.split("/")[2], name.split("/")[1]) for name in files]
    assert names_of(service, sent.id) == expected
    assert [each.done for each in told] == [0, 5, 8, 13, 18, 23, 28, 32]
    assert [str(each.message) for each in caught] == [
        "Not sent: README.md (not in a folder named after a class)"
    ]
    assert caught[0].category is NotTakenWarning


@pytest.mark.usefixtures("small_parts")
def test_a_cut_in_an_upload_loses_nothing_and_sends_nothing_twice(
    service: Service, folder: Path
) -> None:
    with proxied(service) as proxy, Accrue(f"http://127.0.0.1:{proxy.port}") as accrue:

        def cut(told: Told) -> None:
            if isinstance(told, Sending) and told.done in (10, 25):
                proxy.refuse()
                threading.Timer(0.3, proxy.serve).start()

        sent = accrue.upload(folder, progress=cut)
    assert (sent.accepted, sent.duplicates, sent.not_taken) == (40, 0, 0)
    assert len(names_of(service, sent.id)) == 40


@pytest.mark.usefixtures("small_parts")
def test_an_upload_that_was_given_up_is_continued(service: Service, folder: Path) -> None:
    with proxied(service) as proxy, Accrue(f"http://127.0.0.1:{proxy.port}", patience=0.1) as cut:

        def refuse(told: Told) -> None:
            if isinstance(told, Sending) and told.done == 15:
                proxy.refuse()

        with pytest.raises(UploadInterruptedError, match="15 of 40 images have arrived") as caught:
            cut.upload(folder, progress=refuse)
        proxy.serve()
        upload_id = caught.value.upload_id
        assert len(names_of(service, upload_id)) == 15
        told: list[Any] = []
        sent = cut.upload(folder, resume=upload_id, progress=told.append)
    assert told[0].done == 15
    assert (sent.id, sent.accepted, sent.duplicates) == (upload_id, 40, 0)


@pytest.mark.slow
def test_a_restart_while_waiting_does_not_matter(
    start: Callable[..., Service], folder: Path
) -> None:
    service = start()
    with proxied(service) as proxy, Accrue(f"http://127.0.0.1:{proxy.port}") as accrue:
        slow = accrue.classifiers.create("slow", **{**FIELDS, "options": {"epochs": 300}})
        job = slow.learn(folder)
        with pytest.raises(WaitTimeoutError):
            job.wait(timeout=0.2)
        states: list[str] = []

        def restart(told: Told) -> None:
            nonlocal service
            if not states:
                proxy.refuse()
                service.stop()
                service = start()
                proxy.lead_to(*address_of(service))
                proxy.serve()
                accrue.job(job.id).cancel()
            states.append(told.state)  # type: ignore[union-attr]

        with pytest.raises(JobFailedError, match="was cancelled"):
            job.wait(progress=restart)
    assert states[-1] == "cancelled"


def test_strict_takes_all_or_nothing(
    accrue: Accrue,
    service: Service,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = service.http.get("/v1/uploads").json()["data"]
    (folder / "0" / "note.png").write_text("no image")
    with pytest.raises(problems.RejectedImagesError):
        accrue.upload(folder, strict=True)
    (folder / "0" / "note.png").unlink()
    (folder / "0" / "gone.png").symlink_to(folder / "none")
    with pytest.raises(ValueError, match="strict takes all or none"):
        accrue.upload(folder, strict=True)
    images = [*(folder / "0").glob("1*.png"), tmp_path / "none.png"]
    monkeypatch.setattr(parts, "PART_IMAGES", 1)  # others have arrived when it is read
    with pytest.raises(ValueError, match="strict takes all or none"):
        accrue.upload({"0": images}, strict=True)
    assert service.http.get("/v1/uploads").json()["data"] == before


def test_folders_are_groups(accrue: Accrue, digits: Digits, tmp_path: Path) -> None:
    for label in (0, 1):
        for number, image in enumerate(digits.images(label)[:4]):
            home = tmp_path / "tracks" / str(label) / f"{label} track {number % 2}"
            home.mkdir(parents=True, exist_ok=True)
            (home / image.name).write_bytes(image.read_bytes())
    sent = accrue.upload(tmp_path / "tracks", group="folder")
    assert (sent.accepted, sent.groups) == (8, 4)
