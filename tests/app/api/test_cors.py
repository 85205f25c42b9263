"""Pages of sites that the operator lists, and of those that are not listed."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app.learnt import png

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

LISTED, OTHER = "https://example.org", "https://other.example"


@pytest.fixture(params=["off", "required"])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    given = {"keys": request.param, "cors_origins": ("http://localhost:3000", LISTED)}
    return settings.model_copy(update=given)


@pytest.fixture
def browser(settings: Settings) -> Iterator[TestClient]:
    """A client that names the service as browsers on this machine do."""
    app = create_app(settings)
    with TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("path", ["/predict", "/v1/classifiers", "/v1/uploads", "/nowhere"])
def test_listed_pages_may_send_any_request(browser: TestClient, path: str) -> None:
    asked = {
        "Origin": LISTED,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, idempotency-key",
    }
    answer = browser.options(path, headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == LISTED
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    refused = browser.options(path, headers=asked | {"Origin": OTHER})
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


def test_listed_pages_read_answers_and_errors(browser: TestClient, settings: Settings) -> None:
    image = {"content": png(0), "headers": {"Content-Type": "image/png", "Origin": LISTED}}
    answers = [
        # By the fast path of predictions too, which knows the query from the second request on.
        browser.post("/predict", **image),
        browser.post("/predict", **image),
        browser.get("/v1/classifiers", headers={"Origin": LISTED}),
        browser.post("/v1/classifiers", json={"name": "signs"}, headers={"Origin": LISTED}),
        browser.get("/nowhere", headers={"Origin": LISTED}),
    ]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == LISTED, answer.url
        assert answer.headers["access-control-expose-headers"] == "*"
        assert "Origin" in answer.headers["vary"]
        assert answer.headers["x-request-id"]
    expected = [404, 404, 200, 201, 404] if settings.keys == "off" else [401, 401, 401, 401, 404]
    assert [answer.status_code for answer in answers] == expected


def test_caches_tell_answers_apart(browser: TestClient) -> None:
    assert "Origin" in browser.get("/version").headers["vary"]


def test_other_pages_may_not(browser: TestClient, settings: Settings) -> None:
    answer = browser.post("/v1/classifiers", json={"name": "signs"}, headers={"Origin": OTHER})
    assert "access-control-allow-origin" not in answer.headers
    refused = (403, "foreign-site") if settings.keys == "off" else (401, "unauthorized")
    assert (answer.status_code, answer.json()["code"]) == refused
    answer = browser.get("/version", headers={"Origin": OTHER})
    assert "access-control-allow-origin" not in answer.headers


def test_without_a_list_no_page_may(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"cors_origins": ()}))) as client:
        answer = client.get("/version", headers={"Origin": LISTED})
        assert not {name for name in answer.headers if name.startswith("access-control")}
