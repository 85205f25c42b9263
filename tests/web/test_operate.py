"""What the service does: readiness, workers, jobs and keys."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import digits  # noqa: F401 - a fixture
from tests.e2e.harness import Digits, Service, wait_for, zip_of
from tests.web.conftest import Visit, new_key


@pytest.fixture(scope="module")
def worked(service: Service, digits: Digits) -> Service:  # noqa: F811
    """A job that has learnt, and one that has failed: its images take more than a moment."""
    service.create("worked")
    service.learn("worked", digits.zip([0, 1], train=10, test=2))
    one = {"train/2/only.png": digits.images(2)[0].read_bytes()}
    failed = service.queue("worked", zip_of(one), max_minutes=0.00001)
    assert service.finished(failed["id"])["state"] == "failed"
    return service


def test_jobs_are_chosen_by_state(visit: Callable[..., Visit], worked: Service) -> None:
    window = visit()
    page = window.go("/operate")
    expect(page.get_by_text("The service is ready")).to_be_visible()
    figures = page.get_by_role("region", name="Workers, queue and storage")
    expect(figures.get_by_text("the queue is empty")).to_be_visible()
    jobs = page.get_by_role("region", name="Jobs, newest first")
    expect(jobs.get_by_role("link", name="Version 1 of worked")).to_be_visible()
    window.check_accessible()

    page.get_by_role("button", name="Failed").click()
    expect(jobs.get_by_role("link", name="Version 1 of worked")).to_have_count(0)
    expect(jobs.get_by_role("row", name="worked")).to_contain_text("max_minutes")
    page.get_by_label("Kind of job").select_option("forget")
    expect(page.get_by_text("There are no such jobs.")).to_be_visible()


def test_a_failed_job_is_tried_again(visit: Callable[..., Visit], worked: Service) -> None:
    window = visit(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = window.go("/operate")
    page.get_by_role("button", name="Try learn again").first.click()
    expect(page.get_by_text("It is queued again.")).to_be_visible()
    window.check_accessible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_keys_are_explained_where_they_are_off(
    visit: Callable[..., Visit], service: Service
) -> None:
    page = visit().go("/operate")
    keys = page.get_by_role("region", name="Keys", exact=True)
    expect(keys).to_contain_text("Keys are off")
    expect(keys).to_contain_text("accrue keys create")
    expect(keys.get_by_role("button")).to_have_count(0)


def test_a_key_is_made_shown_once_and_revoked(
    visit: Callable[..., Visit], guarded: Service
) -> None:
    window = visit(guarded)
    page = window.go("/operate")
    page.get_by_label("Key").fill(new_key(guarded, "admin"))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name").fill("shop")
    page.get_by_label("Works for so many days").fill("30")
    window.check_accessible()
    page.get_by_role("button", name="Make the key").click()
    shown = page.get_by_role("region", name="The key shop")
    expect(shown).to_be_visible()
    window.check_accessible()
    key = {"Authorization": f"Bearer {shown.inner_text().strip()}"}
    own = guarded.http.get("/v1/key", headers=key).raise_for_status().json()
    assert (own["name"], own["scopes"]) == ("shop", ["predict"])
    page.get_by_role("button", name="I have it").click()

    row = page.get_by_role("region", name="Keys of the workspace").get_by_role("row", name="shop")
    expect(row).to_contain_text("until")
    window.check_accessible()
    row.get_by_role("button", name="Revoke shop").click()
    page.get_by_role("button", name="Revoke it").click()
    expect(row).to_contain_text("revoked")
    wait_for(lambda: guarded.http.get("/v1/key", headers=key).status_code == 401)


def test_the_doctor_is_asked(visit: Callable[..., Visit], service: Service) -> None:
    window = visit()
    page = window.go("/operate")
    page.get_by_role("button", name="Examine the service").click()
    said = page.get_by_role("region", name="What the doctor says")
    expect(said.get_by_role("row", name="workers")).to_contain_text("Alive")
    expect(said.get_by_role("row", name="keys")).to_contain_text("this machine only")
    window.check_accessible()
