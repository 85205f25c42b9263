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
from tests.web.hands import Fingers, Keyboard, Mouse


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
    expect(page.get_by_text("Images of star that look most like it")).to_be_visible()
    window.check_accessible()
    page.get_by_role("button", name="Why?").click()
    expect(page.get_by_alt_text("Where the answer comes from, in colour")).to_be_visible()
    page.get_by_label("Choose images").set_input_files(strange)
    expect(page.get_by_text("Not like anything it has learnt")).to_be_visible()
    expect(page.get_by_role("button", name="star.png: star")).to_be_visible()
    expect(page.get_by_role("button", name="grain.png: unknown")).to_be_visible()
    window.check_accessible()

    # The list shows what was taught.
    page.get_by_role("link", name="Accrue: all classifiers").click()
    expect(page.get_by_role("link", name="shapes")).to_contain_text("5 classes from")
    window.check_accessible()


@pytest.fixture(scope="module")
def mislabelled(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classes with dots among the stripes, and stripes among the dots."""
    home = tmp_path_factory.mktemp("mislabelled") / "shapes"
    shutil.copytree(folders, home)
    shapes.picture("dots", 50).save(home / "stripes" / "50.png")
    shapes.picture("stripes", 51).save(home / "dots" / "51.png")
    return home


def take(hands: Mouse, home: Path) -> None:
    """Bring images in: a folder of classes, or on a phone each class by itself."""
    page = hands.page
    if not isinstance(hands, Fingers):
        hands.choose("Choose a folder", home)
        return
    for folder in sorted(home.iterdir()):
        hands.choose("Choose images", sorted(folder.iterdir()))
        name = card(page, "Class 1").get_by_label("Name of the class")
        name.fill(folder.name)
        name.press("Enter")
        expect(card(page, folder.name)).to_be_visible()


@pytest.mark.parametrize(
    "way",
    [
        Keyboard,
        pytest.param(Fingers, marks=pytest.mark.slow),
        pytest.param("keys", marks=pytest.mark.slow),
    ],
)
def test_the_whole_way(
    visit: Callable[..., Visit],
    request: pytest.FixtureRequest,
    way: type[Mouse] | str,
    mislabelled: Path,
    strange: Path,
) -> None:
    """Teach five classes, find and correct two wrong labels, roll back, and meet a stranger."""
    by = Mouse if isinstance(way, str) else way
    if isinstance(way, str):
        guarded = request.getfixturevalue("guarded")
        window = visit(guarded)
        page = window.go()
        page.get_by_label("Key").fill(new_key(guarded, "admin"))
        page.get_by_role("button", name="Sign in").click()
    else:
        window = visit(**by.window)
        page = window.go()
    hands = by(page)
    hands.press("New classifier", "link")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    hands.write("Name", f"by-{by.__name__}")
    hands.press("Create and teach")
    take(hands, mislabelled)
    expect(page.get_by_text("5 classes, 72 images")).to_be_visible()
    assert fits(page)
    hands.press("Learn")
    expect(page.get_by_text("Version 1 knows 5 classes")).to_be_visible(timeout=240_000)
    assert fits(page)

    hands.press("Look inside", "link")
    # A label that is not wrong may be doubtful, too: the wrong ones come first.
    suspects = page.get_by_role("list", name="Suspected labels").get_by_role("listitem")
    expect(suspects.filter(has_text="dots").filter(has_text="stripes").nth(1)).to_be_visible()
    assert fits(page)
    hands.correct()
    expect(page.get_by_text("1 label to correct")).to_be_visible()
    hands.correct()
    expect(page.get_by_text("2 labels to correct")).to_be_visible()
    assert fits(page)
    hands.press("Make a new version")
    expect(page.get_by_text(re.compile(r"right labels\. Accuracy"))).to_be_visible()
    hands.press("Look inside version 2", "link")
    expect(page.get_by_text(re.compile("Looked at"))).to_be_visible()
    window.check_accessible()

    hands.press("Versions", "link")
    hands.press(re.compile(r"^Version 1\b"), "link")
    hands.press("Roll back to version 1")
    expect(page.get_by_role("heading", name="It is live")).to_be_visible()
    assert fits(page)

    hands.press("Try", "link")
    hands.choose("Choose images", strange)
    expect(page.get_by_text("Not like anything it has learnt")).to_be_visible()
    assert fits(page)


@pytest.mark.slow
def test_teach_with_the_camera_of_a_phone(
    visit: Callable[..., Visit], folders: Path, strange: Path
) -> None:
    window = visit(**Fingers.window)
    page = window.go("/new")
    hands = Fingers(page)
    hands.write("Name", "pocket")
    hands.press("Create and teach")
    hands.choose("Choose images", sorted((folders / "ring").iterdir()))
    hands.press("Use the camera")
    page.get_by_label("Class", exact=True).fill("pattern")
    for number in (1, 2, 3):
        hands.press("Take picture")
        expect(page.get_by_text(re.compile(f"^{number} picture"))).to_be_visible()
    assert fits(page)
    window.check_accessible()
    hands.press("Done")
    expect(card(page, "pattern")).to_contain_text("Only")
    assert fits(page)
    hands.press("Learn")
    expect(page.get_by_text("Version 1 knows 2 classes")).to_be_visible(timeout=240_000)
    hands.press("Try it", "link")
    hands.choose("Choose images", strange)
    expect(page.locator(".answer-label")).to_be_visible()
    hands.press("Use the camera")
    expect(page.locator(".answer-label")).to_have_text("pattern")
    assert fits(page)
    window.check_accessible()
    hands.press("Stop the camera")


@pytest.mark.slow
def test_a_key_shows_what_it_may_do(
    visit: Callable[..., Visit], guarded: Service, folders: Path
) -> None:
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
