"""Sending images: pausing, cancelling, and what the service could not use."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.harness import SMALL, Service
from tests.pictures import png
from tests.web import shapes
from tests.web.conftest import Visit


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes.write_folders(tmp_path_factory.mktemp("to-send") / "shapes")


def begin(visit: Callable[..., Visit], service: Service, name: str, folder: Path) -> Page:
    """Open the screen of a new classifier that learns fast, and choose a folder."""
    service.http.post("/v1/classifiers", json={**SMALL, "name": name}).raise_for_status()
    page = visit().go(f"/classifiers/{name}/teach")
    page.get_by_label("Choose a folder").set_input_files(folder)
    expect(page.get_by_text("5 classes, 70 images")).to_be_visible()
    return page


class Slow:
    """A connection over which all batches but the first wait until they are let through."""

    def __init__(self, page: Page) -> None:
        self.waiting: list[Route] = []
        self._open = False
        page.route("**/v1/uploads/*/images*", self._hold)

    def _hold(self, route: Route) -> None:
        if self._open:
            route.continue_()
        else:
            self.waiting.append(route)

    def let_through(self) -> None:
        self._open = True
        for route in self.waiting:
            route.continue_()


def test_sending_is_paused_and_goes_on(
    visit: Callable[..., Visit], service: Service, folders: Path
) -> None:
    page = begin(visit, service, "paused", folders)
    slow = Slow(page)
    page.get_by_role("button", name="Learn", exact=True).click()
    expect(page.get_by_text("Sending: 24 of 70 images")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    slow.let_through()
    # The batch that was under way arrives, and no other one is sent.
    expect(page.get_by_text("Paused: 48 of 70 images")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Version 1 knows 5 classes")).to_be_visible(timeout=240_000)
    (upload,) = service.http.get("/v1/uploads").json()["data"][:1]
    assert upload["accepted"] == 70


def test_sending_is_cancelled_as_if_nothing_had_been_sent(
    visit: Callable[..., Visit], service: Service, folders: Path
) -> None:
    before = service.http.get("/v1/uploads").json()["data"]
    page = begin(visit, service, "given-up", folders)
    slow = Slow(page)
    page.get_by_role("button", name="Learn", exact=True).click()
    expect(page.get_by_text("Sending: 24 of 70 images")).to_be_visible()
    with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        page.get_by_role("button", name="Cancel").click()
    assert slow.waiting
    # The images are still there, to be changed and sent again.
    expect(page.get_by_text("5 classes, 70 images")).to_be_visible()
    expect(page.get_by_role("button", name="Learn", exact=True)).to_be_enabled()
    assert service.http.get("/v1/uploads").json()["data"] == before


def test_what_the_service_cannot_use_is_named(
    visit: Callable[..., Visit], service: Service, tmp_path: Path
) -> None:
    folder = shapes.write_folders(tmp_path / "shapes")
    (folder / "star" / "0.png").write_bytes(b"no image at all")
    page = begin(visit, service, "named", folder)
    page.get_by_role("button", name="Learn", exact=True).click()
    expect(page.get_by_text("1 file not taken")).to_be_visible()
    page.get_by_text("Which, and why").click()
    expect(page.get_by_text("shapes/star/0.png: not an image")).to_be_visible()
    expect(page.get_by_text("Version 1 knows 5 classes")).to_be_visible(timeout=240_000)


def test_a_manifest_says_the_classes(
    visit: Callable[..., Visit], service: Service, tmp_path: Path
) -> None:
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    rows = [f"{number}.png,{'odd' if number % 2 else 'even'}" for number in range(5)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    service.http.post("/v1/classifiers", json={**SMALL, "name": "manifest"}).raise_for_status()
    page = visit().go("/classifiers/manifest/teach")
    page.get_by_label("Choose a folder").set_input_files(tmp_path)
    expect(page.get_by_text("2 classes, 4 images")).to_be_visible()
    page.get_by_text("Which, and why").click()
    expect(page.get_by_text("4.png: is not there")).to_be_visible()


def test_a_job_is_cancelled_and_tried_again(
    visit: Callable[..., Visit], service: Service, folders: Path
) -> None:
    page = begin(visit, service, "again", folders)
    service.http.patch("/v1/classifiers/again", json={"options": {"epochs": 5000}})
    page.get_by_role("button", name="Learn", exact=True).click()
    job = page.get_by_role("region", name="Job")
    expect(job.get_by_text("Accuracy so far").or_(job.get_by_text("Loss")).first).to_be_visible()
    job.get_by_role("button", name="Cancel").click()
    expect(job.get_by_text("Cancelled")).to_be_visible()
    job.get_by_role("button", name="Try again").click()
    expect(job.get_by_role("progressbar")).to_be_visible()
    job.get_by_role("button", name="Cancel").click()
    expect(job.get_by_text("Cancelled")).to_be_visible()


def test_what_waits_is_still_there_after_another_screen(
    visit: Callable[..., Visit], service: Service, folders: Path, tmp_path: Path
) -> None:
    page = begin(visit, service, "kept", folders)
    page.get_by_role("link", name="Versions").click()
    expect(page.get_by_role("heading", name="No versions yet")).to_be_visible()
    page.get_by_role("link", name="Teach", exact=True).click()
    expect(page.get_by_text("5 classes, 70 images")).to_be_visible()

    # What is damaged, and what is no image, is said beside it.
    odd = tmp_path / "odd" / "comet"
    odd.mkdir(parents=True)
    shapes.picture("dots", 77).save(odd / "0.png")
    (odd / "1.png").write_bytes(b"no image at all")
    (odd / "notes.txt").write_text("nor is this")
    page.get_by_label("Choose a folder").set_input_files(odd.parent)
    comet = page.get_by_role("group", name="Class comet", exact=True)
    comet.scroll_into_view_if_needed()
    expect(comet).to_contain_text("1 file cannot be shown: damaged, or not an image.")
    expect(page.get_by_text("1 file not taken")).to_be_visible()
    comet.get_by_role("button", name="Leave out", exact=True).click()
    expect(comet).to_contain_text("1 image")
    page.on("dialog", lambda asks: asks.accept())
