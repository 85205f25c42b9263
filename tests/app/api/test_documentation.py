"""``/docs`` and ``/``: what browsers and programs find without knowing the API."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app.api.test_event_stream import serving

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
CHROMIUM = shutil.which("chromium")


def test_the_page_names_files_of_its_own_only(api: TestClient) -> None:
    page = api.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(named) == 4
    for address in named:
        assert re.fullmatch(r"docs/[a-z0-9.-]+", address)
        file = api.get(f"/{address}")
        assert file.status_code == 200, address
        again = api.get(f"/{address}", headers={"If-None-Match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_its_policy_lets_nothing_in_from_elsewhere(api: TestClient) -> None:
    policy = api.get("/docs").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_another_file_is_not_found(api: TestClient) -> None:
    for name in ("other.js", "__init__.py", "..%2fmain.py"):
        answer = api.get(f"/docs/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), name


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Needs Chromium.")
def test_a_browser_shows_every_route_without_a_complaint(
    settings: Settings, tmp_path: Path
) -> None:
    with serving(settings) as running:
        command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu"]
        command += [f"--user-data-dir={tmp_path}", "--enable-logging=stderr"]
        command += ["--virtual-time-budget=20000", "--dump-dom", f"{running.http.base_url}/docs"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        paths = running.http.get("/openapi.json").json()["paths"]
    assert "CONSOLE" not in shown.stderr
    assert set(paths) <= set(re.findall(r'data-path="([^"]*)"', shown.stdout))


def test_the_root_says_where_to_go(api: TestClient) -> None:
    for accept in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}):
        answer = api.get("/", headers=accept)
        assert "Accept" in answer.headers["vary"].split(", ")
        found = answer.json()
        assert (found.pop("name"), found.pop("version")) == (
            "accrue",
            api.get("/version").json()["version"],
        )
        for link in found.values():
            assert api.get(f"/{link}").status_code == 200, link


def test_the_root_sends_browsers_to_the_page_or_the_documentation(settings: Settings) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    with TestClient(create_app(settings)) as api:
        answer = api.get("/", headers=browser)
        assert '<script type="module" src="web/main.js">' in answer.text
        assert "Accept" in answer.headers["vary"].split(", ")
    with TestClient(create_app(settings.model_copy(update={"web": "off"}))) as api:
        answer = api.get("/", headers=browser, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "docs")
        assert 'id="swagger-ui"' in api.get("/", headers=browser).text
