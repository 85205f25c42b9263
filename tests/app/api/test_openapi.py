"""The OpenAPI document: whole, and honest about errors."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from app.api.json_source import JsonUpload
from app.api.openapi_examples import EXAMPLES, PROBLEM
from app.api.predict_views import PredictBody, PredictView
from app.api.problem_catalogue import catalogue
from app.api.problems import Problem
from app.services.classifiers.aliases import AliasMove, AliasView
from app.services.classifiers.classifiers import ClassifierView
from app.services.classifiers.spec import NewClassifier
from app.services.jobs.views import JobDetailView
from app.services.steps.requests import JobRequest
from app.services.uploads.uploads import UploadView
from tests.databases import ONE_KIND_AT_FIRST
from tests.docs.pages import ROOT

pytestmark = ONE_KIND_AT_FIRST

# The models of the bodies that have an example: of the request, of the answer.
MODELS: dict[str, tuple[Any, Any]] = {
    "create_classifier": (NewClassifier, ClassifierView),
    "create_upload": (JsonUpload, UploadView),
    "create_job": (JobRequest, None),
    "get_job": (None, JobDetailView),
    "predict": (PredictBody, PredictView),
    "move_alias": (AliasMove, AliasView),
}


@pytest.fixture
def document(api: TestClient) -> dict[str, Any]:
    """What clients get."""
    found: dict[str, Any] = api.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        shared = item.get("parameters", [])
        for method, operation in item.items():
            if method != "parameters":
                given = shared + operation.get("parameters", [])
                yield f"{method.upper()} {path}", {**operation, "parameters": given}


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
    for response in document["components"]["responses"].values():
        if "application/json" in response["content"]:  # an answer that succeeds
            continue
        schema = response["content"]["application/problem+json"]["schema"]
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
            assert answer["$ref"].startswith("#/components/responses/"), f"{name} {status}"
            said = answer.get("description") or resolved(document, answer)["description"]
            named = re.findall(r"`([a-z-]+)`", said)
            assert named, f"{name} {status}"
            assert set(named) <= codes, name
            statuses = {int(status)} if status != "default" else set(range(400, 600))
            assert {catalogue()[code].status for code in named} <= statuses, f"{name} {status}"


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
            for media_type, content in resolved(document, answer).get("content", {}).items():
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
    assert len(api.get("/openapi.json").content) < 100_000


def test_any_request_may_be_refused(document: dict[str, Any]) -> None:
    said = document["components"]["responses"]["Problem"]["description"]
    for common in (
        "400 `bad-request`",
        "401 `unauthorized`",
        "403 `missing-scope`",
        "413 `",
        "415 `",
    ):
        assert common in said


def test_headers_are_documented(document: dict[str, Any], api: TestClient) -> None:
    named = {
        operation["operationId"]: {
            status: set(resolved(document, answer).get("headers", ()))
            for status, answer in operation["responses"].items()
        }
        for _, operation in operations(document)
    }
    accepted = {"Location", "Retry-After"}
    assert named["create_classifier"]["201"] == {"Location"}
    assert named["create_upload"]["201"] == {"Location"}
    for name in ("create_job", "learn", "retry_job", "ask_for_advice"):
        assert named[name]["202"] == accepted, name
    assert named["get_job"]["200"] == {"ETag", "Retry-After"}
    assert {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} <= named["predict"]["200"]
    for name in ("/v1/classifiers", "/v1/methods", "/v1/key"):
        listed = document["paths"][name]["get"]["operationId"]
        assert ("ETag" in api.get(name).headers) == ("ETag" in named[listed]["200"]) is True


def test_bodies_that_inherit_stay_closed(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["NewClassifier"]["unevaluatedProperties"] is False
    for option in schemas["JobRequest"]["oneOf"]:
        assert resolved(document, option)["unevaluatedProperties"] is False
    assert "unevaluatedProperties" not in schemas["ClassifierView"]


def test_examples_are_shown_and_fit_the_models(document: dict[str, Any]) -> None:
    found = {operation["operationId"]: operation for _, operation in operations(document)}
    for name, (request, answer) in MODELS.items():
        example = EXAMPLES[name]
        for body, value, model in (
            (found[name].get("requestBody", {}), example.request, request),
            (found[name]["responses"][str(example.status)], example.answer, answer),
        ):
            if model is not None:
                media = resolved(document, body)["content"]["application/json"]
                assert media.get("example") == value
                TypeAdapter(model).validate_json(json.dumps(value), extra="forbid", strict=True)
    assert set(MODELS) == set(EXAMPLES)
    Problem.model_validate(PROBLEM, extra="forbid", strict=True)


def test_the_example_of_a_classifier_is_what_is_made(api: TestClient) -> None:
    asked, told = EXAMPLES["create_classifier"].request, EXAMPLES["create_classifier"].answer
    assert asked is not None
    assert told is not None
    made = api.post("/v1/classifiers", json=asked).raise_for_status().json()
    assert {name: made[name] for name in told} == {**told, "created_at": made["created_at"]}
    options = {"method": "icarl", "options": {"epochs": "3"}}
    wrong = api.post("/v1/classifiers", json={"name": "others", **options}).json()
    own = {"instance": PROBLEM["instance"], "detail": PROBLEM["detail"]}
    assert {**wrong, **own} == PROBLEM
