"""Numbers as people read them."""

import pytest

from app.client.text import forgetting, forgetting_phrase


@pytest.mark.parametrize(
    ("share", "cell", "phrase"),
    [
        (0.031, "3.1 %", "forgetting 3.1 %"),
        (0.0, "0.0 %", "forgetting 0.0 %"),
        (-0.167, "gain 16.7 %", "gain 16.7 % on older tasks"),
        (-0.0001, "0.0 %", "forgetting 0.0 %"),
    ],
)
def test_negative_forgetting_is_a_gain(share: float, cell: str, phrase: str) -> None:
    assert forgetting(share) == cell
    assert forgetting_phrase(share) == phrase


def test_a_first_task_has_no_forgetting() -> None:
    assert forgetting(None) == "-"
