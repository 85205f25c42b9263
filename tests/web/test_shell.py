"""The frame of the page: how much of it comes first, its themes, addresses that lead nowhere."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.e2e.harness import Service
from tests.web.conftest import Visit


def test_the_first_page_is_small_and_from_here_only(visit: Callable[..., Visit]) -> None:
    window = visit()
    sizes: dict[str, int] = {}
    window.page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    page = window.go()
    expect(page.get_by_role("link", name="New classifier").first).to_be_visible()
    assert all(url.startswith(window.url) for url in sizes)
    assert len(sizes) > 10
    assert sum(sizes.values()) < 200_000


def test_light_and_dark(visit: Callable[..., Visit]) -> None:
    window = visit(color_scheme="dark")
    page = window.go()

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    dark = background()
    page.get_by_role("button", name="Light or dark").click()
    light = background()
    assert light != dark
    page.reload()
    assert background() == light  # what the reader chose stays
    page.get_by_role("button", name="Light or dark").click()
    assert background() == dark


def test_an_address_that_leads_nowhere_says_so(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.go("/nowhere/at/all")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    window.check_accessible()
    page.get_by_role("link", name="All classifiers", exact=True).click()
    expect(page.get_by_role("link", name="New classifier").first).to_be_visible()


def test_what_is_not_there_is_said_with_a_way_on(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.go("/classifiers/nobody/try")
    expect(page.get_by_role("alert")).to_contain_text("Classifier not found")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    window.check_accessible()
    assert all("404" in each for each in window.wrong)
    window.wrong.clear()


def test_it_goes_on_once_the_service_answers_again(
    visit: Callable[..., Visit], service: Service
) -> None:
    service.create("patient")
    window = visit()
    page = window.go("/classifiers/patient/teach")
    expect(page.get_by_role("heading", name="Drop a folder for each class")).to_be_visible()
    page.context.set_offline(True)
    page.get_by_role("link", name="Operate").click()
    expect(page.get_by_text("The service does not answer")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("The service is ready")).to_be_visible()
    expect(page.get_by_text("The service does not answer")).not_to_be_visible()
    assert all("ERR_INTERNET_DISCONNECTED" in each for each in window.wrong)
    window.wrong.clear()
