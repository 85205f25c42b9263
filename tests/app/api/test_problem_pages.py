"""Pages about problems: every problem's `type` leads to one."""

import re

import pytest
from fastapi.testclient import TestClient

from app.api.problem_catalogue import _REMEDIES, catalogue
from tests.docs.pages import ROOT

ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_every_kind_says_what_to_do() -> None:
    assert set(_REMEDIES) == set(catalogue()), "see _REMEDIES in app/api/problem_catalogue.py"


def test_the_documentation_has_the_same_text() -> None:
    page = (ROOT / "docs/problems.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    expected = [
        f"{kind.code}\n{kind.status}: {kind.title}\n\n{kind.meaning}\n\n"
        f"**What to do**: {kind.remedy}"
        for kind in catalogue().values()
    ]
    assert [section.strip() for section in sections] == expected, "run `make problems`"


@ONE_DATABASE
def test_the_type_of_a_problem_leads_to_its_page(api: TestClient) -> None:
    problem = api.get("/v1/jobs/none").json()
    page = api.get(problem["type"])
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    kind = catalogue()[problem["code"]]
    assert kind.code == "job-not-found"
    for text in (kind.title, kind.code, kind.meaning, "What to do"):
        assert text in page.text
    assert "<code>GET /v1/jobs</code>" in page.text


@ONE_DATABASE
def test_the_list_leads_to_every_page(api: TestClient) -> None:
    addresses = re.findall(r'href="([^"]*)"', api.get("/problems").text)
    assert addresses == [f"problems/{code}" for code in catalogue()]
    for address in addresses:
        assert api.get(f"/{address}").status_code == 200, address


@ONE_DATABASE
def test_there_is_no_page_of_another_code(api: TestClient) -> None:
    answer = api.get("/problems/<script>")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
