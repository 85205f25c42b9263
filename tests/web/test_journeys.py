"""What people come for: they teach five classes of pictures, and meet one of no class.

Each journey learns by real jobs, which take most of its time. They end with what a person sees.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.harness import Service
from tests.web import shapes
from tests.web.conftest import Visit, new_key


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes.write_folders(tmp_path_factory.mktemp("pictures") / "shapes")


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes.write_stranger(tmp_path_factory.mktemp("strange") / "grain.png")


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("unseen") / "star.png"
    shapes.picture("star", 99).save(path)
    return path


def card(page: Page, label: str) -> Locator:
    return page.get_by_role("group", name=f"Class {label}", exact=True)


def fits(page: Page) -> bool:
    """Whether nothing is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.fixture(scope="module")
def untidy(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classes as people have them: a name in other case, a picture elsewhere, a text."""
    home = tmp_path_factory.mktemp("untidy") / "shapes"
    shutil.copytree(folders, home)
    (home / "Dots").mkdir()
    shutil.copy(folders / "ring" / "0.png", home / "Dots" / "more.png")
    (home / "notes.txt").write_text("not an image")
    return home


def make(window: Visit, name: str) -> Page:
    page = window.go("/new")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create and teach").click()
    return page


def test_images_are_put_in_order_before_they_are_sent(
    visit: Callable[..., Visit], untidy: Path
) -> None:
    window = visit()
    page = make(window, "tidy")
    page.get_by_label("Choose a folder").set_input_files(untidy)
    expect(page.get_by_text("6 classes, 71 images")).to_be_visible()
    expect(page.get_by_text("1 file not taken")).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()
    odd = card(page, "Dots")
    expect(odd).to_contain_text("Only 1 image")
    warned = page.get_by_text(re.compile("Nearly the same name as"))
    expect(warned).to_be_visible()
    window.check_accessible()

    # Merged under one name, the picture of a ring is found among the dots, and left out.
    odd.get_by_label("Name of the class").fill("dots")
    odd.get_by_label("Name of the class").press("Enter")
    expect(page.get_by_text("5 classes, 71 images")).to_be_visible()
    expect(warned).not_to_be_visible()
    page.get_by_role("button", name="Leave out", exact=True).click()
    expect(page.get_by_text("5 classes, 70 images")).to_be_visible()

    # One image is moved to a class of its own, and that is merged: a class is split and made whole.
    card(page, "star").get_by_role("button", name="Edit images of star").click()
    dialog = page.get_by_role("dialog", name="star")
    dialog.get_by_role("button", name="shapes/star/0.png").click()
    window.check_accessible()
    dialog.get_by_label("Move to class").fill("comet")
    dialog.get_by_role("button", name="Move", exact=True).click()
    page.keyboard.press("Escape")
    card(page, "comet").get_by_role("button", name="Merge").click()
    page.get_by_label("Into").select_option("star")
    page.get_by_role("dialog").get_by_role("button", name="Merge", exact=True).click()
    expect(page.get_by_text("5 classes, 70 images")).to_be_visible()
    # The page asks before it is closed with images that wait.
    page.on("dialog", lambda asks: asks.accept())


def test_teach_five_classes_and_meet_a_stranger(
    visit: Callable[..., Visit], folders: Path, strange: Path, unseen: Path
) -> None:
    window = visit()
    page = make(window, "shapes")
    expect(page.get_by_role("heading", name="Drop a folder for each class")).to_be_visible()
    window.check_accessible()
    page.get_by_label("Choose a folder").set_input_files(folders)
    page.get_by_role("button", name="Learn", exact=True).click()
    expect(page.get_by_text("Version 1 knows 5 classes")).to_be_visible(timeout=240_000)
    window.check_accessible()
    page.get_by_role("link", name="Try it").click()
    expect(page.get_by_role("heading", name="What is it?")).to_be_visible()
    window.check_accessible()

    page.get_by_label("Choose images").set_input_files(unseen)
    expect(page.locator(".answer-label")).to_have_text("star")
    expect(page.get_by_text("Images of star")).to_be_visible()
    window.check_accessible()
    page.get_by_role("button", name="Why?").click()
    expect(page.get_by_alt_text("Where the answer comes from, in colour")).to_be_visible()
    page.get_by_label("Choose images").set_input_files(strange)
    expect(page.get_by_text("Not like anything it has learnt")).to_be_visible()
    window.check_accessible()

    # The list shows what was taught.
    page.get_by_role("link", name="Accrue: all classifiers").click()
    expect(page.get_by_role("link", name="shapes")).to_contain_text("5 classes from")
    window.check_accessible()


def test_with_the_keyboard_alone(visit: Callable[..., Visit], folders: Path, unseen: Path) -> None:
    page = visit().go()

    def reach(name: str, presses: int = 60) -> None:
        """Press Tab until the focus is on what has this name."""
        named = "e => (e.getAttribute('aria-label') ?? e.innerText ?? '').trim()"
        for _ in range(presses):
            if page.evaluate(f"({named})(document.activeElement)") == name:
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"the focus never came to {name}")

    def choose(button: str, files: Path) -> None:
        """Press a button that asks for files."""
        reach(button)
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files(files)

    reach("New classifier")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("by-keys")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Choose a folder")).to_be_visible()
    choose("Choose a folder", folders)
    expect(page.get_by_text("5 classes, 70 images")).to_be_visible()
    reach("Learn")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Try it")).to_be_visible(timeout=240_000)
    reach("Try it")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What is it?")).to_be_visible()
    choose("Choose images", unseen)
    expect(page.locator(".answer-label")).to_have_text("star")


def test_on_a_phone(visit: Callable[..., Visit], folders: Path, strange: Path) -> None:
    window = visit(
        viewport={"width": 390, "height": 844},
        device_scale_factor=2,
        is_mobile=True,
        has_touch=True,
        permissions=["camera"],
    )
    page = window.go("/new")
    page.get_by_label("Name").fill("pocket")
    page.get_by_role("button", name="Create and teach").tap()
    # Phones have no folders to choose: images come class by class, or from the camera.
    for label in ("ring", "checks"):
        files = sorted((folders / label).iterdir())
        page.get_by_label("Choose images").set_input_files(files)
        new = card(page, "Class 1")
        new.get_by_label("Name of the class").fill(label)
        new.get_by_label("Name of the class").press("Enter")
        expect(card(page, label)).to_contain_text("14 images")
    assert fits(page)
    page.get_by_role("button", name="Use the camera").tap()
    page.get_by_label("Class", exact=True).fill("pattern")
    for number in (1, 2, 3):
        page.get_by_role("button", name="Take picture").tap()
        expect(page.get_by_text(re.compile(f"^{number} picture"))).to_be_visible()
    assert fits(page)
    window.check_accessible()
    page.get_by_role("button", name="Done").tap()
    expect(card(page, "pattern")).to_contain_text("Only")
    assert fits(page)
    page.get_by_role("button", name="Learn", exact=True).tap()
    expect(page.get_by_text("Version 1 knows 3 classes")).to_be_visible(timeout=240_000)
    assert fits(page)
    page.get_by_role("link", name="Try it").tap()
    page.get_by_label("Choose images").set_input_files(strange)
    expect(page.locator(".answer-label")).to_be_visible()
    assert fits(page)
    page.get_by_role("button", name="Use the camera").tap()
    expect(page.locator(".answer-label")).to_have_text("pattern")
    window.check_accessible()
    page.get_by_role("button", name="Stop the camera").tap()


@pytest.mark.slow
def test_with_keys(visit: Callable[..., Visit], guarded: Service, folders: Path) -> None:
    all_of_it = new_key(guarded, "admin")
    window = visit(guarded)
    page = window.go()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    window.check_accessible()
    page.get_by_label("Key").fill("swordfish")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("A key begins with acr_.")).to_be_visible()
    page.get_by_label("Key").fill(all_of_it)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="New classifier").click()
    page.get_by_label("Name").fill("kept")
    page.get_by_role("button", name="Create and teach").click()
    page.get_by_label("Choose a folder").set_input_files(folders)
    page.get_by_role("button", name="Learn", exact=True).click()
    expect(page.get_by_text("Version 1 knows 5 classes")).to_be_visible(timeout=240_000)
    # Images of the service are asked for with the key, too.
    page.get_by_role("link", name="Accrue: all classifiers").click()
    expect(page.locator(".strip img").first).to_have_attribute("src", re.compile("^blob:"))
    # Closing the tab forgets the key; so does signing out.
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    # What a key may not do is not shown.
    page.get_by_label("Key").fill(new_key(guarded, "predict"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="kept")).to_be_visible()
    expect(page.get_by_role("link", name="New classifier")).to_have_count(0)
    page.goto(f"{guarded.url}/#/classifiers/kept/try")
    expect(page.get_by_role("link", name="Try")).to_be_visible()
    expect(page.get_by_role("link", name="Teach")).to_have_count(0)
    page.goto(f"{guarded.url}/#/classifiers/kept/teach")
    expect(page.get_by_text("Your key may not do this")).to_be_visible()


def test_a_revoked_key_asks_for_another(visit: Callable[..., Visit], guarded: Service) -> None:
    window = visit(guarded)
    page = window.go()
    page.get_by_label("Key").fill("acr_" + "0" * 24 + "_" + "A" * 43)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("This key is unknown, revoked or expired.")).to_be_visible()
    assert all("401" in each for each in window.wrong)
    window.wrong.clear()
