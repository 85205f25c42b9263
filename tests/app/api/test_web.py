"""The web page as the API serves it: which files, with which headers, and that it can be off."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import app.web
from app.main import create_app
from app.settings import Settings

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PAGE = Path(app.web.__file__).parent / "page"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@SQLITE
def test_every_file_is_served_under_a_strict_policy(api: TestClient) -> None:
    files = [path for path in PAGE.rglob("*") if path.is_file()]
    assert len(files) > 20
    paths = ["/", *(f"/web/{path.relative_to(PAGE).as_posix()}" for path in files)]
    for path in paths:
        answer = api.get(path, headers=BROWSER)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        tag = answer.headers["etag"]
        again = api.get(path, headers={**BROWSER, "If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")


@SQLITE
def test_media_types(api: TestClient) -> None:
    kinds = {
        "/": "text/html",
        "/web/main.js": "text/javascript",
        "/web/styles/base.css": "text/css",
        "/web/icon.svg": "image/svg+xml",
    }
    for path, kind in kinds.items():
        answer = api.get(path, headers=BROWSER)
        assert answer.headers["content-type"].startswith(kind), path


def test_the_first_page_is_small() -> None:
    """All files together, before compression."""
    assert sum(path.stat().st_size for path in PAGE.rglob("*") if path.is_file()) < 400_000


def test_nothing_comes_from_elsewhere() -> None:
    for path in PAGE.rglob("*.*"):
        text = path.read_text().replace("http://www.w3.org/", "")
        assert "http://" not in text, path
        assert "https://" not in text, path


@SQLITE
@pytest.mark.parametrize("path", ["nope.js", "../files.py", "..%2Ffiles.py", "", "screens"])
def test_no_other_file_is_served(api: TestClient, path: str) -> None:
    answer = api.get(f"/web/{path}")
    assert answer.status_code == 404


@SQLITE
def test_the_page_can_be_off(settings: Settings) -> None:
    off = settings.model_copy(update={"web": "off"})
    with TestClient(create_app(off)) as api:
        for path in ("/web/main.js", "/web/index.html"):
            answer = api.get(path, headers=BROWSER)
            assert (answer.status_code, answer.json()["code"]) == (404, "page-not-found")
