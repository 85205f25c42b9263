"""The tree of versions: rolling back, naming, comparing, downloading and deleting."""

import tarfile
import zipfile
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import digits  # noqa: F401 - a fixture
from tests.e2e.harness import Digits, Service
from tests.web.conftest import Visit

VERSIONS = "/classifiers/branching/versions"


@pytest.fixture(scope="module")
def branching(service: Service, digits: Digits) -> Service:  # noqa: F811
    """Versions 2 and 3 are both learnt from version 1; the last is live."""
    service.create("branching")
    service.learn("branching", digits.zip([0, 1]))
    service.learn("branching", digits.zip([2, 3]))
    service.learn("branching", digits.zip([4]), base_version=1)
    return service


def serve(branching: Service, version: int) -> None:
    to = "/v1/classifiers/branching/aliases/live"
    branching.http.put(to, json={"version": version}).raise_for_status()


def test_roll_back_says_what_changes(visit: Callable[..., Visit], branching: Service) -> None:
    serve(branching, 3)
    window = visit()
    page = window.go(VERSIONS)
    expect(page.get_by_role("img", name="The tree of 3 versions")).to_be_visible()
    window.check_accessible()
    page.get_by_text("As a table").click()
    figures = page.get_by_role("region", name="Accuracy of each version")
    expect(figures.get_by_role("row")).to_have_count(4)

    page.get_by_role("link", name="Version 2").last.click()
    changes = page.get_by_role("region", name="Roll back to it")
    expect(changes).to_contain_text("From now on version 2 answers instead of version 3.")
    expect(changes).to_contain_text("It tells apart 2 and 3 too.")
    expect(changes).to_contain_text("It no longer knows 4.")
    matrix = page.get_by_role("region", name="Accuracy matrix")
    expect(matrix.get_by_role("row", name="Forgotten")).to_be_visible()
    window.check_accessible()
    changes.get_by_role("button").click()
    expect(page.get_by_role("heading", name="It is live")).to_be_visible()
    assert branching.http.get("/v1/classifiers/branching").json()["live"] == 2


def test_a_version_is_named_compared_and_downloaded(
    visit: Callable[..., Visit], branching: Service
) -> None:
    serve(branching, 2)
    window = visit(viewport={"width": 390, "height": 844})
    page = window.go(f"{VERSIONS}/1")
    page.get_by_label("A name for programs to ask for").fill("canary")
    page.get_by_role("button", name="Set the name").click()
    expect(page.locator(".badge", has_text="canary")).to_be_visible()
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="Download").click()
    with tarfile.open(downloaded.value.path()) as file:
        assert "manifest.json" in file.getnames()

    with page.expect_download() as exported:
        page.get_by_role("button", name="Export as ONNX").click()
    assert exported.value.suggested_filename == "branching-1.onnx"
    with page.expect_download() as exported:
        page.get_by_role("button", name="Export for PyTorch").click()
    with zipfile.ZipFile(exported.value.path()) as file:
        assert any(name.endswith(".safetensors") for name in file.namelist())
    # On a busy machine the service answers that it is still being built, and the page asks again.
    window.wrong[:] = [each for each in window.wrong if "503" not in each]

    page.get_by_label("Compare with").select_option(label="Version 2 (live)")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("New: 2 and 3.")).to_be_visible()
    by_class = page.get_by_role("region", name="Accuracy of each class in both versions")
    expect(by_class.get_by_role("row", name="3 not known")).to_be_visible()
    expect(page.get_by_text("20 images held out of both versions.")).to_be_visible()
    window.check_accessible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_version_is_deleted_after_a_question(
    visit: Callable[..., Visit],
    branching: Service,
    digits: Digits,  # noqa: F811
) -> None:
    unwanted = branching.learn("branching", digits.zip([5]), base_version=1)
    serve(branching, 2)
    window = visit(color_scheme="dark")
    page = window.go(f"{VERSIONS}/{unwanted}")
    page.get_by_role("button", name="Delete").click()
    question = page.get_by_role("dialog")
    expect(question.get_by_role("button", name="Keep things as they are")).to_be_focused()
    window.check_accessible()
    question.get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    expect(page.get_by_role("link", name=f"Version {unwanted}")).to_have_count(0)
    left = branching.http.get("/v1/classifiers/branching/versions").json()["data"]
    assert [version["number"] for version in left] == [3, 2, 1]


def test_who_teaches_on_an_older_version_is_told(
    visit: Callable[..., Visit], branching: Service
) -> None:
    serve(branching, 1)
    page = visit().go("/classifiers/branching/teach")
    expect(page.get_by_text("You teach on top of version 1")).to_be_visible()
    expect(page.get_by_text("It knows 2 classes")).to_be_visible()
    page.get_by_role("button", name="Build on version 3 instead").click()
    expect(page.get_by_text("It knows 3 classes")).to_be_visible()
    expect(page.get_by_text("You teach on top of")).to_have_count(0)


def test_a_classifier_is_renamed_and_deleted(
    visit: Callable[..., Visit],
    service: Service,
    digits: Digits,  # noqa: F811
) -> None:
    service.create("unwanted")
    service.learn("unwanted", digits.zip([0, 1]))
    window = visit()
    page = window.go("/classifiers/unwanted/versions")
    page.get_by_label("Its name").fill("unloved")
    window.check_accessible()
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", name="unloved", level=1)).to_be_visible()
    page.get_by_role("button", name="Delete unloved").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete unloved").click()
    expect(page.get_by_text("unloved is deleted.")).to_be_visible()
    names = [each["name"] for each in service.http.get("/v1/classifiers").json()["data"]]
    assert not {"unwanted", "unloved"} & set(names)
