"""Examples of requests and answers in the OpenAPI document, of the operations most begin with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_JSON = "application/json"
_AT = "2026-11-21T04:33:02.546895Z"


@dataclass(frozen=True)
class Example:
    """A body of a request, and of the answer that has a status."""

    status: int
    request: Mapping[str, Any] | None = None
    answer: Mapping[str, Any] | None = None


_UPLOAD = "upl_06gzrr8jaa4ct4h844g0yzk8"
_CLASSIFIER = {"name": "signs", "metadata": {"owner": "Ann"}}
_IMAGE = "iVBORw0KGgo="
_RANKED = [{"label": "stop", "score": 0.99}, {"label": "yield", "score": 0.01}]
EXAMPLES: Mapping[str, Example] = {
    "create_classifier": Example(
        201,
        _CLASSIFIER,
        {
            **_CLASSIFIER,
            "method": "analytic",
            "backbone": "efficientnet_lite0",
            "weights": "DEFAULT",
            "image_size": None,
            "live": None,
            "created_at": _AT,
        },
    ),
    "create_upload": Example(
        201,
        {"images": [{"label": "stop", "b64": _IMAGE}]},
        {
            "id": _UPLOAD,
            "classes": {"stop": 1},
            "splits": {"train": 1, "test": 0},
            "accepted": 1,
            "duplicates": 0,
            "rejected": [],
            "rejected_count": 0,
            "rejected_reasons": [],
            "empty_classes": [],
            "created_at": _AT,
        },
    ),
    "create_job": Example(202, {"kind": "learn", "uploads": [_UPLOAD]}),
    "get_job": Example(
        200,
        answer={
            "id": "job_06gzrr716g5p64hhqyf8teyy",
            "classifier": "signs",
            "kind": "learn",
            "state": "succeeded",
            "phase": None,
            "attempt": 1,
            "progress": None,
            "queue_position": None,
            "not_before": None,
            "last_failure": None,
            "error": None,
            "version": 1,
            "created_at": _AT,
            "started_at": _AT,
            "heartbeat_at": _AT,
            "finished_at": _AT,
            "request": {"uploads": [_UPLOAD]},
            "webhook": False,
            "base": None,
            "promoted": True,
        },
    ),
    "predict": Example(
        200,
        {"images": [{"b64": _IMAGE}]},
        {
            "classifier": "signs",
            "version": 1,
            "results": [
                {
                    "label": "stop",
                    "score": 0.99,
                    "task": 0,
                    "known": True,
                    "p_known": 0.57,
                    "ranked": _RANKED,
                }
            ],
        },
    ),
    "move_alias": Example(
        200,
        {"version": 1, "expected_version": 2},
        {"name": "live", "version": 1, "updated_at": _AT},
    ),
}
PROBLEM: Mapping[str, Any] = {
    "type": "/problems/invalid-options",
    "title": "Invalid options",
    "status": 422,
    "detail": "The options are wrong: see errors.",
    "instance": "req_06gzrr8ht1n9rxcar0dkhg14",
    "code": "invalid-options",
    "errors": [{"pointer": "/options/epochs", "detail": "Input should be a valid integer"}],
}


def add(made: dict[str, Any]) -> None:
    """Add the examples to a document whose components are shared already."""
    components = made["components"]
    components["schemas"]["Problem"]["examples"] = [PROBLEM]
    for item in made["paths"].values():
        for operation in item.values():
            if (example := EXAMPLES.get(operation["operationId"])) is None:
                continue
            if example.request is not None:
                body = operation["requestBody"]
                if "$ref" in body:
                    body = components["requestBodies"][body["$ref"].rpartition("/")[2]]
                body["content"][_JSON]["example"] = example.request
            if example.answer is not None:
                response = operation["responses"][str(example.status)]
                if "$ref" in response:
                    response = components["responses"][response["$ref"].rpartition("/")[2]]
                response["content"][_JSON]["example"] = example.answer
