"""The OpenAPI document: whole, and honest about errors."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.databases import ONE_KIND_AT_FIRST
from tests.docs.pages import ROOT

pytestmark = ONE_KIND_AT_FIRST


@pytest.fixture
def document(api: TestClient) -> dict[str, Any]:
    """What clients get."""
    found: dict[str, Any] = api.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    found: Any = document
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_every_route_lists_its_problems(document: dict[str, Any]) -> None:
    problem = document["components"]["responses"]["Problem"]
    schema = problem["content"]["application/problem+json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Problem"}
    codes = set(document["components"]["schemas"]["ProblemCode"]["enum"])
    for name, operation in operations(document):
        problems = {
            status: answer
            for status, answer in operation["responses"].items()
            if not status.startswith(("2", "3"))
        }
        assert "default" in problems, name
        for status, answer in problems.items():
            assert answer["$ref"] == "#/components/responses/Problem", f"{name} {status}"
            named = re.findall(r"`([a-z-]+)`", answer.get("description", ""))
            assert set(named) <= codes, name
            assert named or status == "default", name


def test_every_route_documents_its_success(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert any(status.startswith("2") for status in operation["responses"]), name
        assert operation["summary"].endswith("."), name


def test_document_is_whole(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.")
    identifiers = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(identifiers)) == len(identifiers)
    for reference in references(document):
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            assert step in node, reference
            node = node[step]
    for name, operation in operations(document):
        in_path = {
            parameter["name"]
            for parameter in (resolved(document, each) for each in operation.get("parameters", []))
            if parameter["in"] == "path"
        }
        assert in_path == set(re.findall(r"{(\w+)}", name)), name


def test_document_has_the_routes_of_the_contract(document: dict[str, Any]) -> None:
    classifier = "/v1/classifiers/{name}"
    expected = {
        "POST /predict",
        f"POST {classifier}/predict",
        "POST /v1/classifiers",
        "GET /v1/classifiers",
        f"GET {classifier}",
        f"PATCH {classifier}",
        f"DELETE {classifier}",
        "GET /v1/methods",
        "GET /v1/backbones",
        "POST /v1/uploads",
        f"POST {classifier}/jobs",
        f"POST {classifier}/learn",
        "GET /v1/jobs",
        f"GET {classifier}/versions",
        f"GET {classifier}/versions/{{version}}",
        f"DELETE {classifier}/versions/{{version}}",
        f"GET {classifier}/versions/{{version}}/exemplars",
        "GET /v1/images/{sha256}",
        f"GET {classifier}/aliases",
        f"PUT {classifier}/aliases/{{alias}}",
        f"DELETE {classifier}/aliases/{{alias}}",
        "GET /health/live",
        "GET /health/ready",
        "GET /version",
    }
    assert expected <= {name for name, _ in operations(document)}


def test_what_webhooks_are_sent_is_documented(document: dict[str, Any]) -> None:
    (told,) = document["webhooks"].values()
    operation = told["post"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert names == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    fields = document["components"]["schemas"][schema.rpartition("/")[2]]["properties"]
    assert fields["data"]["$ref"].endswith("/JobView")
    assert set(references(document["webhooks"])) <= {
        f"#/components/schemas/{name}" for name in document["components"]["schemas"]
    }


def test_operations_have_names_for_clients(document: dict[str, Any]) -> None:
    names = {name: operation["operationId"] for name, operation in operations(document)}
    assert names["POST /v1/classifiers/{name}/learn"] == "learn"
    assert names["GET /v1/classifiers/{name}/versions"] == "list_versions"
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in names.values())


def test_what_is_an_object_or_an_answer_has_a_name(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert all(re.fullmatch("[A-Z][A-Za-z0-9]+", name) for name in schemas)
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                if media_type == "application/json":
                    assert list(content["schema"]) == ["$ref"], f"{name} {status}"


def test_pages_states_and_codes_have_names(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["JobPage"]["allOf"][0] == {"$ref": "#/components/schemas/Page"}
    named = schemas["JobView"]["properties"]
    assert named["state"] == {"$ref": "#/components/schemas/State"}
    assert named["kind"] == {"$ref": "#/components/schemas/Kind"}
    assert schemas["EventView"]["properties"]["type"] == {"$ref": "#/components/schemas/EventType"}
    assert schemas["Problem"]["properties"]["code"] == {"$ref": "#/components/schemas/ProblemCode"}
    assert "job-not-found" in schemas["ProblemCode"]["enum"]


def test_every_type_of_event_is_documented(document: dict[str, Any]) -> None:
    source = "\n".join(
        path.read_text() for name in ("app", "worker") for path in ROOT.glob(f"{name}/**/*.py")
    )
    written = set(re.findall(r"\bEvent\(\s*\"([a-z_]+)\"", source))
    assert written <= set(document["components"]["schemas"]["EventType"]["enum"])


def test_the_document_stays_small(api: TestClient) -> None:
    assert len(api.get("/openapi.json").content) < 120_000
