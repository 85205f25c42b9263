"""Where few images are held out, screens and commands show one accuracy, on the same images."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import digits  # noqa: F401 - a fixture
from tests.e2e.harness import Digits, Service, zip_of
from tests.e2e.test_commands import accrue, ok
from tests.web.conftest import Visit

pytestmark = pytest.mark.slow

FEW = "/v1/classifiers/few"


@pytest.fixture(scope="module")
def few(service: Service, digits: Digits) -> Service:  # noqa: F811
    """Two classes of 20 images, of each two with the other label; then corrected."""
    service.http.post("/v1/classifiers", json={"name": "few", "method": "analytic"})
    members = {
        f"{1 - label if number < 2 else label}/{label}-{path.name}": path.read_bytes()
        for label in (0, 1)
        for number, path in enumerate(digits.images(label)[:20])
    }
    service.learn("few", zip_of(members))
    suspects = service.http.get(f"{FEW}/versions/1/suspects").json()["data"]
    images = [{"sha256": each["sha256"], "label": each["predicted"]} for each in suspects]
    job = service.http.post(f"{FEW}/jobs", json={"kind": "correct", "images": images}).json()
    service.finished(job["id"])
    return service


def test_every_screen_shows_one_accuracy(visit: Callable[..., Visit], few: Service) -> None:
    listed = few.http.get(f"{FEW}/versions").json()["data"]
    after, before = (version["metrics"]["goes_by"] for version in listed)
    assert after["used"] == before["used"] == "trained"
    assert after["images"] > 20 > listed[0]["metrics"]["measured_on"]
    assert after["accuracy"] > before["accuracy"]
    old, young = (f"{100 * each['accuracy']:.1f}".removesuffix(".0") for each in (before, after))
    images = f"{after['images']} learnt images, each judged as if it had not been learnt"

    window = visit()
    page = window.go()
    expect(page.get_by_role("link", name=re.compile("^few"))).to_contain_text(f"{young} %")
    window.go("/classifiers/few/versions")
    history = page.get_by_role("region", name="History").get_by_role("listitem")
    expect(history.nth(0)).to_contain_text(f"{young} %")
    expect(history.nth(1)).to_contain_text(f"{old} %")
    expect(page.get_by_role("link", name=f"Version 1: {old} % of {images}")).to_be_visible()
    window.go("/classifiers/few/versions/2")
    expect(page.locator(".tile", has_text="Accuracy")).to_contain_text(f"{young} %")
    expect(page.get_by_text(f"Measured on {images}.")).to_be_visible()
    expect(page.get_by_role("region", name="Accuracy matrix")).to_have_count(0)
    window.check_accessible()


def test_versions_are_compared_on_the_images_that_both_judge(
    visit: Callable[..., Visit], few: Service
) -> None:
    window = visit()
    page = window.go("/classifiers/few/compare/1/2")
    expect(page.get_by_text(re.compile(r"Accuracy over all classes: \+.* points"))).to_be_visible()
    classes = page.get_by_role("region", name="Accuracy of each class in both versions")
    expect(classes.get_by_role("row").last).to_contain_text(re.compile(r"\+.* points"))
    expect(page.get_by_text("40 images judged by both without having learnt them.")).to_be_visible()
    mended = page.get_by_role("heading", name=re.compile("Wrong in version 1, right in version 2"))
    expect(mended).not_to_contain_text(": 0")
    window.check_accessible()


def test_confusions_and_classes_are_of_the_same_images(
    visit: Callable[..., Visit], few: Service
) -> None:
    window = visit()
    page = window.go("/classifiers/few/inside/1/confusions")
    [first] = few.http.get(f"{FEW}/versions/1/classes?limit=1").json()["data"]
    label, hits = first["label"], round(first["goes_by"]["accuracy"] * first["goes_by"]["images"])
    taken = page.get_by_role("button", name=re.compile(f"image.* of {label} called {label}"))
    expect(taken).to_have_text(f"{hits}")
    taken.click()
    right = page.get_by_role("list", name=f"{label}: right").get_by_role("listitem")
    expect(right).to_have_count(hits)
    page.keyboard.press("Escape")
    window.go("/classifiers/few/inside/1/classes")
    judged = page.get_by_role("list", name=f"Judged images of {label}").get_by_role("listitem")
    expect(judged).to_have_count(20)
    expect(judged.first).to_contain_text(f"{1 - int(label)}, ")
    expect(page.get_by_role("heading", name="What it remembers")).to_have_count(0)
    window.check_accessible()


def test_commands_list_the_same_accuracies(few: Service) -> None:
    listed = few.http.get(f"{FEW}/versions").json()["data"]
    shown = [f"{100 * each['metrics']['goes_by']['accuracy']:.1f} %" for each in listed]
    said = ok(accrue("versions", "few", url=few.url)).splitlines()
    assert all(share in line for line, share in zip(said[1:], shown, strict=True))
    classes = few.http.get(f"{FEW}/versions/live/classes").json()["data"]
    table = ok(accrue("show", "few", url=few.url))
    for known in classes:
        assert f"{100 * known['goes_by']['accuracy']:.1f} %" in table
