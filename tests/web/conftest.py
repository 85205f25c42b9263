"""A browser on a running service. What the page logs, or asks for in vain, fails the test."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.e2e.conftest import service  # noqa: F401 - a fixture
from tests.e2e.harness import ACCRUE, Service

# Names of Chromium on Debian and elsewhere.
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
# Ends a test that hangs: machines under load take seconds for what takes moments.
_PATIENCE = 60_000
_AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, with a camera that shows a moving pattern."""
    found = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        pytest.skip("no Chromium: `apt-get install chromium`")
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        # Its sandbox does not work for root, nor in most containers.
        arguments = ["--no-sandbox", *_CAMERA]
        chromium = playwright.chromium.launch(executable_path=found, args=arguments)
        yield chromium
        chromium.close()


class Visit:
    """A page of the service in a browser, and what went wrong in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.wrong: list[str] = []
        page.on("console", lambda said: self.wrong.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("response", self._note)
        page.set_default_timeout(_PATIENCE)

    def _note(self, answer: Any) -> None:
        if answer.status >= 400:
            self.wrong.append(f"{answer.status}: {answer.request.method} {answer.url}")

    def go(self, address: str = "/") -> Page:
        self.page.goto(f"{self.url}/#{address}")
        return self.page

    def check_accessible(self) -> None:
        """Assert that axe finds nothing in what is shown."""
        if not _AXE.exists():
            return  # `make check` says how to get it
        # The policy of the page allows no script of others: not even this one, as a tag.
        self.page.evaluate(_AXE.read_text() + ";0")
        found = self.page.evaluate("axe.run().then((result) => result.violations)")
        told = [
            f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes']]}"
            for one in found
        ]
        assert not told, "\n".join(told)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that wants keys."""
    running = Service(tmp_path_factory.mktemp("guarded") / "data", ACCRUE_KEYS="required")
    yield running
    running.stop()


def new_key(on: Service, *scopes: str) -> str:
    """Make a key on the machine of a service."""
    options = [part for scope in scopes for part in ("--scope", scope)]
    command = [*ACCRUE, "keys", "create", "-".join(scopes), *options]
    folder = ["--data-dir", str(on.data_dir)]
    done = subprocess.run([*command, *folder], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Callable[..., Visit]]:  # noqa: F811
    """A function that opens a window on the shared service, or on another one."""
    visits: list[Visit] = []

    def open_window(on: Service = service, **context: Any) -> Visit:
        window = browser.new_context(**context)
        visits.append(Visit(window.new_page(), on.url))
        return visits[-1]

    yield open_window
    for each in visits:
        wrong = list(each.wrong)
        try:
            each.page.context.close()
        except Error:
            wrong.append("the window did not close")
        assert not wrong, "\n".join(wrong)
