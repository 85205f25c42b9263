"""The list of classifiers, and making one."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.harness import Service
from tests.web import shapes
from tests.web.conftest import Visit


def test_a_name_is_enough(visit: Callable[..., Visit], service: Service) -> None:
    window = visit()
    page = window.go()
    page.get_by_role("link", name="New classifier").click()
    page.get_by_label("Name").fill("by-name")
    window.check_accessible()
    page.get_by_role("button", name="Create and teach").click()
    expect(page).to_have_url(re.compile("/classifiers/by-name/teach$"))
    assert service.http.get("/v1/classifiers/by-name").json()["method"] == "analytic"


def test_more_can_be_chosen(visit: Callable[..., Visit], service: Service) -> None:
    page = visit().go("/new")
    page.get_by_label("Name").fill("chosen")
    page.get_by_text("Choose method and network myself").click()
    page.get_by_label("Method").select_option("icarl")
    page.get_by_label("Epochs").fill("3")
    page.get_by_role("button", name="Create and teach").click()
    expect(page).to_have_url(re.compile("/classifiers/chosen/teach$"))
    made = service.http.get("/v1/classifiers/chosen").json()
    assert (made["method"], made["options"]) == ("icarl", {**made["options"], "epochs": 3})


def test_the_service_advises_on_images_which_are_then_taught(
    visit: Callable[..., Visit], service: Service, tmp_path: Path
) -> None:
    home = shapes.write_folders(tmp_path / "shapes", 6)
    window = visit()
    page = window.go("/new")
    page.get_by_label("Name").fill("advised")
    page.get_by_text("Have the service find what suits my images").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder to try").click()
    chooser.value.set_files(home)
    found = page.get_by_role("region", name="What was measured")
    expect(found.get_by_role("button", pressed=True)).to_be_visible(timeout=240_000)
    window.check_accessible()
    other = found.get_by_role("button", pressed=False).last
    chosen = other.get_attribute("aria-label")
    other.click()
    expect(page.get_by_text("It will be")).to_be_visible()
    page.get_by_role("button", name="Create and teach").click()
    # The images wait to be taught, and are no longer kept for the advice.
    expect(page.get_by_text("5 classes, 30 images")).to_be_visible()
    made = service.http.get("/v1/classifiers/advised").json()
    words = f"Choose {made['method']} on {made['backbone']} at {made['image_size']} pixels"
    assert words == chosen
    page.on("dialog", lambda asks: asks.accept())


def test_what_the_service_refuses_is_said(visit: Callable[..., Visit], service: Service) -> None:
    service.create("taken")
    window = visit()
    page = window.go("/new")
    page.get_by_label("Name").fill("taken")
    page.get_by_role("button", name="Create and teach").click()
    expect(page.get_by_role("alert")).to_contain_text("exists already")
    window.check_accessible()
    # The browser logs the refusal, and nothing else went wrong.
    assert all("409" in each for each in window.wrong)
    window.wrong.clear()


def test_what_is_not_a_number_is_not_passed_over(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.go("/new")
    page.get_by_label("Name").fill("sized")
    page.get_by_text("Choose method and network myself").click()
    page.get_by_label("Image size").fill("large")
    page.get_by_role("button", name="Create and teach").click()
    expect(page.get_by_role("alert")).to_contain_text("image_size")
    assert all("422" in each for each in window.wrong)
    window.wrong.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_cards(visit: Callable[..., Visit], service: Service, scheme: str, width: int) -> None:
    name = f"card-{scheme}-{width}"
    service.create(name)
    window = visit(color_scheme=scheme, viewport={"width": width, "height": 844})
    page = window.go()
    card = page.get_by_role("link", name=name)
    expect(card).to_contain_text("Knows nothing yet.")
    window.check_accessible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
