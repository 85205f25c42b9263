"""Differences between answers are found, and what pages leave out is none."""

from typing import Any

import pytest

from tests.docs.shapes import differences

REAL: dict[str, Any] = {"a": 1, "b": [{"c": "x", "d": None}], "per_class": {"stop": 0.5}}


@pytest.mark.parametrize(
    "shown",
    [
        REAL,
        {"a": 2.5, "b": ["…", {"c": "y", "d": {"e": 1}}], "per_class": {"0": 1.0}},
        {"a": None, "b": [], "per_class": {}},
        {"b": [], "…": "…"},
    ],
)
def test_alike(shown: dict[str, Any]) -> None:
    assert list(differences(shown, REAL)) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"a": "1"}, "/a is text, in real answers a number"),
        ({"a": True}, "/a is true or false, in real answers a number"),
        ({"e": 1}, "/e is not in real answers"),
        ({"b": [{"c": "x"}]}, "/b/0/d is not shown"),
        ({"b": {}}, "/b is an object, in real answers an array"),
    ],
)
def test_different(changed: dict[str, Any], expected: str) -> None:
    assert list(differences(REAL | changed, REAL)) == [expected]
