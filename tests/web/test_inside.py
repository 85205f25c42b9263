"""Looking inside: two wrong labels are found and corrected, and confusions open their images."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import digits  # noqa: F401 - a fixture
from tests.e2e.harness import Digits, Service, zip_of
from tests.web.conftest import Visit


@pytest.fixture(scope="module")
def mislabelled(service: Service, digits: Digits) -> Service:  # noqa: F811
    """Zeros and ones; of the held-out images one of each has the label of the other."""
    members = {
        f"train/{label}/{path.name}": path.read_bytes()
        for label in (0, 1)
        for path in digits.images(label)[:40]
    }
    for label in (0, 1):
        for number, path in enumerate(digits.images(label, "test")[:14]):
            given = 1 - label if number == 0 else label
            members[f"test/{given}/{label}-{path.name}"] = path.read_bytes()
    service.create("mislabelled", options={"epochs": 8})
    service.learn("mislabelled", zip_of(members))
    return service


def test_two_wrong_labels_are_corrected_by_keys_and_taken_back(
    visit: Callable[..., Visit], mislabelled: Service
) -> None:
    window = visit()
    page = window.go("/classifiers/mislabelled/inside/1")
    expect(page.get_by_text("Likely to be wrong: 2 labels.")).to_be_visible()
    window.check_accessible()
    # Keys decide from anywhere on the screen, and the last decision is taken back.
    page.keyboard.press("x")
    expect(page.get_by_text("1 image to leave out")).to_be_visible()
    page.keyboard.press("u")
    expect(page.get_by_text("1 of 2, 2 left to decide")).to_be_visible()
    expect(page.get_by_text("1 image to leave out")).to_have_count(0)
    page.keyboard.press("c")
    page.keyboard.press("c")
    expect(page.get_by_text("All 2 are decided.")).to_be_visible()
    expect(page.get_by_text("2 labels to correct")).to_be_visible()
    page.get_by_role("button", name="Make a new version").click()
    expect(
        page.get_by_text(re.compile(r"Version 2 has the right labels\. Accuracy"))
    ).to_be_visible()
    window.check_accessible()

    page.get_by_role("link", name="Look inside version 2").click()
    expect(page.get_by_role("heading", name="No label looks wrong")).to_be_visible()
    page.goto(f"{window.url}/#/classifiers/mislabelled/compare/1/2")
    expect(
        page.get_by_role("heading", name="Wrong in version 1, right in version 2: 2")
    ).to_be_visible()
    mended = page.get_by_role("list", name="Wrong in version 1, right in version 2")
    mended.get_by_role("button").first.click()
    image = page.get_by_role("dialog")
    expect(image).to_contain_text(re.compile(r"Version 1 says \d \(\d+ %\)"))
    expect(image).to_contain_text("Version 2 says")
    window.check_accessible()
    page.keyboard.press("Escape")
    page.goto(f"{window.url}/#/classifiers/mislabelled/versions/1")
    page.get_by_role("button", name="Roll back to version 1").click()
    expect(page.get_by_role("heading", name="It is live")).to_be_visible()
    assert mislabelled.http.get("/v1/classifiers/mislabelled").json()["live"] == 1


def test_a_cell_of_the_confusion_matrix_opens_its_images(
    visit: Callable[..., Visit], mislabelled: Service
) -> None:
    window = visit(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = window.go("/classifiers/mislabelled/inside/1/confusions")
    page.get_by_role("button", name="1 image of 0 called 1").click()
    images = page.get_by_role("list", name="Labelled 0, taken for 1")
    expect(images.get_by_role("listitem")).to_have_count(1)
    window.check_accessible()
    images.get_by_role("button").click()
    image = page.get_by_role("dialog", name="Labelled 0", exact=True)
    image.get_by_role("button", name="Why?").click()
    expect(image.get_by_role("img", name="Where it sees 1")).to_be_visible()
    image.get_by_role("button", name="Leave it out").click()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_text("1 image to leave out")).to_be_visible()
    window.check_accessible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_images_of_a_class_are_shown_in_their_order(
    visit: Callable[..., Visit], mislabelled: Service
) -> None:
    window = visit()
    page = window.go("/classifiers/mislabelled/inside/1/classes")
    page.get_by_label("Class", exact=True).select_option(index=1)
    shown = page.get_by_role("list", name="Judged images of 1")
    expect(shown.get_by_role("listitem")).to_have_count(14)
    expect(shown.get_by_role("listitem").first).to_contain_text("0, ")
    remembered = page.get_by_role("list", name="Exemplars of 1").get_by_role("listitem")
    expect(remembered.first).to_contain_text("1")
    window.check_accessible()


def test_of_very_many_images_few_are_in_the_page(
    visit: Callable[..., Visit], mislabelled: Service
) -> None:
    held_out = "/v1/classifiers/mislabelled/versions/1/held-out?limit=1"
    [image] = mislabelled.http.get(held_out).json()["data"]
    page = visit().go("/classifiers/mislabelled/inside/1/classes")
    expect(page.get_by_role("list", name="Judged images of 0")).to_be_visible()
    page.evaluate(
        """async (sha256) => {
            const { gallery } = await import(new URL("web/ui/gallery.js", document.baseURI));
            const images = Array.from({ length: 100_000 }, (_, index) => (
                { sha256, title: `${index}`, text: "" }));
            document.querySelector("main").replaceChildren(gallery("Many", images));
        }""",
        image["sha256"],
    )
    cells = page.get_by_role("list", name="Many").get_by_role("listitem")
    expect(cells.first).to_have_text("0")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(cells.last).to_have_text("99999")
    assert cells.count() < 200
