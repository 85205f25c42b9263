"""The line about a version: its accuracy, and what that rests on."""

from typing import Any

import pytest

from app.cli.versions import described

LEFT_OUT = {"accuracy": 0.9, "images": 60, "standard_error": 0.0387, "grouped": False}


def said(**metrics: Any) -> str:
    known = {"accuracy": 0.931, "forgetting": None, "measured_on": 110, **metrics}
    version = {"number": 1, "aliases": [], "class_count": 2, "metrics": known}
    return described("signs", version).partition("accuracy ")[2]


@pytest.mark.parametrize(
    ("metrics", "line"),
    [
        ({"standard_error": 0.0242}, "93.1 % ± 2.4 on 110 images never trained on."),
        (
            {"standard_error": 0.051, "measured_on_groups": 12, "forgetting": 0.01},
            "93.1 % ± 5.1 on 110 images of 12 groups never trained on, forgetting 1.0 %.",
        ),
        (
            {"accuracy": 1.0, "standard_error": 0.0, "measured_on": 1},
            "100.0 % on 1 image never trained on.",
        ),
        (
            {
                "accuracy": 0.75,
                "standard_error": 0.217,
                "measured_on": 4,
                "leave_one_out": LEFT_OUT,
            },
            "75.0 % ± 21.7 on 4 images never trained on "
            "(90.0 % ± 3.9 by leaving out each of 60 training images in turn).",
        ),
        (
            {"accuracy": None, "measured_on": 0, "leave_one_out": LEFT_OUT},
            "90.0 % ± 3.9 by leaving out each of 60 training images in turn.",
        ),
        (
            {
                "accuracy": None,
                "measured_on": 0,
                "leave_one_out": {**LEFT_OUT, "standard_error": None, "grouped": True},
            },
            "90.0 % by leaving out each of 60 training images in turn, which is too high as others "
            "of its group stay.",
        ),
        ({"accuracy": None, "measured_on": 0}, "-."),
        # Of an earlier release.
        ({"measured_on": None}, "93.1 %."),
    ],
)
def test_the_line_about_a_version(metrics: dict[str, Any], line: str) -> None:
    assert said(**metrics) == line
