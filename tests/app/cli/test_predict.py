"""What `accrue predict` and version lines say of images that are not known."""

from typing import Any

import pytest

from app.cli.predict import _describe
from app.cli.versions import described


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ({"known": True, "p_known": 0.4}, "yes"),
        ({"known": False, "p_known": 0.0123}, "[yellow]not known: p = 0.012[/]"),
        ({"known": None, "p_known": None, "known_why": "too few"}, "-"),
        ({}, "-"),  # of an older release
    ],
)
def test_known_beside_the_label(answer: dict[str, Any], shown: str) -> None:
    ranked = [{"label": "3", "score": 0.9}, {"label": "[b]", "score": 0.1}]
    result = {"label": "3", "score": 0.9, "ranked": ranked, **answer}
    assert _describe(result) == ("[bold]3[/]", "90.0 %", shown, "\\[b] 10.0 %")


@pytest.mark.parametrize("unknown", [None, {"detected": None, "false_alarms": 0.05}])
def test_nothing_is_said_of_what_was_not_measured(unknown: dict[str, Any] | None) -> None:
    assert "not known" not in described("signs", version(unknown))


def test_a_version_line_says_how_many_unknown_images_are_found() -> None:
    said = described("signs", version({"detected": 0.857, "false_alarms": 0.05}))
    assert said.endswith(
        " Leaving out each class in turn, about 85.7 % of its images are called not known, at "
        "5.0 % false alarms."
    )


def version(unknown: dict[str, Any] | None) -> dict[str, Any]:
    metrics = {"accuracy": 0.9, "forgetting": None, "measured_on": 40, "unknown": unknown}
    return {"number": 1, "aliases": ["live"], "class_count": 2, "metrics": metrics}
