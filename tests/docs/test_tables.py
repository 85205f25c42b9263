"""Tables of settings, options and errors in docs/ have the names and defaults of the code."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

import app
from app.errors import ServiceError
from app.security.archive_names import ENCODINGS
from app.services.jobs.views import ERROR_CODES
from app.settings import Settings
from models import methods
from models.options import SGDOptions
from models.regularizers import CSKDOptions
from tests.docs.pages import PAGES, ROOT, literals, prose, rows, section
from worker.child import _FAILURES

METHODS = {method.name: method.Options.model_json_schema() for method in methods._OWN}
SHARED = "## Options that most methods share"


def test_settings() -> None:
    table = list(rows(section("operations.md", "## Settings"), "variable"))
    names = [literals(variable)[0] for variable, *_ in table]
    assert sorted(names) == sorted(f"ACCRUE_{name.upper()}" for name in Settings.model_fields)
    for variable, default, _ in table:
        name = literals(variable)[0].removeprefix("ACCRUE_").lower()
        shown = re.fullmatch(r"`([^`]+)`", default)
        value = getattr(Settings(**{name: shown[1]}), name) if shown else None
        there = Settings.model_fields[name].default
        assert value == (None if there == () else there), variable


def shown_options(text: str) -> dict[str, Any]:
    """The options of a table and their defaults, which it has as JSON or as a bare word."""

    def value(cell: str) -> Any:
        (shown,) = literals(cell)
        try:
            return json.loads(shown)
        except ValueError:
            return shown

    table = [(literals(name), default) for name, default, *_ in rows(text, "option")]
    assert all(len(names) == 1 for names, _ in table)
    return {names[0]: value(default) for names, default in table}


def defaults(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: field["default"] for name, field in schema["properties"].items()}


def test_shared_options() -> None:
    shown = shown_options(section("methods.md", SHARED))
    assert shown == defaults(SGDOptions.model_json_schema())


@pytest.mark.parametrize("name", METHODS)
def test_options_of_methods(name: str) -> None:
    heading = "## cs_kd and the regularizer" if name == "cs_kd" else f"## {name}"
    text = section("methods.md", heading)
    own = shown_options(text) if "| option |" in text else {}
    there = defaults(METHODS[name])
    assert set(own) <= set(there)
    shared = shown_options(section("methods.md", SHARED))
    assert {**{name: shared[name] for name in shared if name in there}, **own} == there


def test_options_of_the_regularizer() -> None:
    shown = shown_options(section("methods.md", "## cs_kd and the regularizer"))
    assert shown == defaults(CSKDOptions.model_json_schema())


def test_codes_of_failed_jobs() -> None:
    text = section("reliability.md", "## Why a job failed, and what helps")
    shown = {code for codes, *_ in rows(text, "`error.code`") for code in literals(codes)}
    source = "\n".join(
        path.read_text()
        for name in ("app", "models", "worker")
        for path in ROOT.glob(f"{name}/**/*.py")
    )
    raised = set(re.findall(r"(?:LearningError|Failure)\(\s*\"([a-z-]+)\"", source))
    assert raised | {code for _, code, _ in _FAILURES} <= shown
    assert {code for code in shown if f'"{code}"' not in source} == set()
    assert set(ERROR_CODES) == shown


def errors() -> Iterator[type[ServiceError]]:
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = ServiceError.__subclasses__()
    while found:
        error = found.pop()
        found += error.__subclasses__()
        yield error


def test_statuses_and_codes_of_answers() -> None:
    there = {(error.status, error.code) for error in errors()}
    pair = re.compile(r"\b([45]\d\d)\s\(?`([a-z]+(?:-[a-z]+)*)`")
    shown = {(int(status), code) for page in PAGES for status, code in pair.findall(prose(page))}
    assert len(shown) > 30
    assert shown <= there


def test_encodings_of_names() -> None:
    table = rows(section("api.md", "### In which encodings can names be?"), "names of")
    shown = [encoding for _, encodings in table for encoding in literals(encodings)]
    assert sorted(shown) == sorted(ENCODINGS)
