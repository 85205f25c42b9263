"""CSRF and DNS rebinding against a service without keys."""

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.databases import ONE_KIND_AT_FIRST

FORM = {"Content-Type": "multipart/form-data; boundary=b"}


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize(
    "host", ["rebound.example.org", "127.0.0.1.example.org:8000", "[::1", "a.b"]
)
def test_names_that_other_sites_can_have_are_refused(api: TestClient, host: str) -> None:
    answer = api.get("/v1/classifiers", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign-site")
    assert answer.headers["X-Request-ID"] == answer.json()["instance"]


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8000", "[::1]:8000", "localhost", "LOCALHOST:8000", "accrue.localhost", "api"],
)
def test_addresses_and_names_of_this_machine_are_not(api: TestClient, host: str) -> None:
    assert api.get("/v1/classifiers", headers={"Host": host}).status_code == 200
    # As the interactive documentation asks.
    same = {"Host": host, "Origin": f"http://{host}"}
    answer = api.post("/v1/uploads", headers=same | FORM)
    assert answer.json()["code"] == "malformed-form"


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("origin", ["https://example.org", "http://localhost:3000", "null", ""])
def test_forms_of_other_sites_are_refused(api: TestClient, origin: str) -> None:
    given = {"Host": "localhost:8000", "Origin": origin}
    answer = api.post("/v1/uploads", headers=given | FORM)
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign-site")
    # Their scripts cannot read what they get: nothing here allows them to.
    answer = api.get("/v1/classifiers", headers=given)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@ONE_KIND_AT_FIRST
def test_the_name_that_it_listens_on_is_its_own(settings: Settings) -> None:
    named = settings.model_copy(update={"host": "accrue.home.example"})
    with TestClient(create_app(named), base_url="http://accrue.home.example:8000") as client:
        assert client.get("/v1/classifiers").status_code == 200


@ONE_KIND_AT_FIRST
def test_with_keys_any_name_will_do(settings: Settings) -> None:
    keyed = settings.model_copy(update={"keys": "required"})
    with TestClient(create_app(keyed), base_url="https://accrue.example.org") as client:
        assert client.get("/version", headers={"Origin": "https://example.org"}).status_code == 200
