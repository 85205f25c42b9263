"""What several operations of the OpenAPI document have in common, moved to its components."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from app.api.answer_headers import with_headers

_JSON = "application/json"
_PROBLEM = "#/components/responses/Problem"
# What passes by itself, so that clients are told when to ask again.
_PASSING = {"429", "503"}


def operations(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all operations, webhooks too."""
    for item in (*made["paths"].values(), *made.get("webhooks", {}).values()):
        yield from item.values()


def share_parameters(made: dict[str, Any]) -> None:
    """Move the parameters of several operations to the components, by their names."""
    lists = [operation.get("parameters", []) for operation in operations(made)]
    times = Counter(json.dumps(parameter) for parameters in lists for parameter in parameters)
    shared: dict[str, str] = {}
    for text, count in times.most_common():
        if count > 1:
            shared[text] = _unused(json.loads(text)["name"], shared)
    for parameters in lists:
        for position, parameter in enumerate(parameters):
            if (name := shared.get(json.dumps(parameter))) is not None:
                parameters[position] = {"$ref": f"#/components/parameters/{name}"}
    made["components"]["parameters"] = {name: json.loads(text) for text, name in shared.items()}


def share_of_paths(made: dict[str, Any]) -> None:
    """Move the parameters that all operations of a path have to the path.

    The last step, as it leaves what is not an operation among the operations.
    """
    for item in made["paths"].values():
        first, *others = (operation.get("parameters", []) for operation in item.values())
        common = [each for each in first if others and all(each in other for other in others)]
        if not common:
            continue
        for operation in item.values():
            own = [each for each in operation.pop("parameters") if each not in common]
            if own:
                operation["parameters"] = own
        item["parameters"] = common


def share_bodies(made: dict[str, Any]) -> None:
    """Move the bodies of several requests to the components, by the first of their schemas."""
    found = [operation for operation in operations(made) if "requestBody" in operation]
    times = Counter(json.dumps(operation["requestBody"]) for operation in found)
    bodies = made["components"]["requestBodies"] = {}
    for operation in found:
        body = operation["requestBody"]
        if times[json.dumps(body)] > 1:
            first = next(iter(body["content"].values()))["schema"]["$ref"]
            name = first.rpartition("/")[2]
            bodies[name] = body
            operation["requestBody"] = {"$ref": f"#/components/requestBodies/{name}"}


def share_answers(made: dict[str, Any]) -> None:
    """Move what several operations answer with success to the components, by its schema."""
    found = [
        (operation["responses"], status)
        for operation in operations(made)
        for status, answer in operation["responses"].items()
        if status.startswith("2") and _JSON in answer.get("content", ())
    ]
    times = Counter(json.dumps(answers[status]) for answers, status in found)
    shared: dict[str, str] = {}
    for answers, status in found:
        text = json.dumps(answer := answers[status])
        if times[text] == 1:
            continue
        if text not in shared:
            schema = answer["content"][_JSON]["schema"]["$ref"].rpartition("/")[2]
            shared[text] = _unused(schema, shared)
        answers[status] = {"$ref": f"#/components/responses/{shared[text]}"}
    made["components"]["responses"] |= {name: json.loads(text) for text, name in shared.items()}


def share_responses(made: dict[str, Any]) -> None:
    """Move problems of several operations to the components where that is shorter.

    Their names are those of the last of their codes.
    """
    maps = [operation["responses"] for operation in operations(made)]
    times = Counter(
        (status, answer["description"])
        for answers in maps
        for status, answer in answers.items()
        if answer.get("$ref") == _PROBLEM and "description" in answer
    )
    responses = made["components"]["responses"]
    content = responses["Problem"]["content"]
    shared: dict[str, str] = {}
    for (status, codes), count in times.most_common():
        name = _unused(codes.rpartition(" ")[2].strip("`").title().replace("-", ""), shared)
        reference = {"$ref": f"#/components/responses/{name}"}
        inline = {"$ref": _PROBLEM, "description": codes}
        once = {"description": codes, "content": content}
        if status in _PASSING:
            once = with_headers({status: once}, status, "Retry-After")[status]
        if count * (_size(inline) - _size(reference)) > _size({name: once}):
            shared[codes] = name
            responses[name] = once
    for answers in maps:
        for status, answer in answers.items():
            if answer.get("$ref") == _PROBLEM and answer.get("description") in shared:
                name = shared[answer["description"]]
                answers[status] = {"$ref": f"#/components/responses/{name}"}


def _size(node: Any) -> int:
    return len(json.dumps(node, separators=(",", ":")))


def _unused(name: str, shared: dict[str, str]) -> str:
    """Return the name of a component, with a number if others have it."""
    alike = sum(1 for each in shared.values() if each.partition(".")[0] == name)
    return f"{name}.{alike + 1}" if alike else name
