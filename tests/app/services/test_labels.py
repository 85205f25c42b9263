"""Labels of classes: which are accepted, and how they are stored."""

import pytest

from app.services.labels import clean_label


@pytest.mark.parametrize(
    "label", ["stop", "no entry", "日本", "🛑", "a/b", "x" * 200, "1", "q\u0323"]
)
def test_names_are_kept(label: str) -> None:
    assert clean_label(label) == label


def test_names_are_stripped_and_composed() -> None:
    assert clean_label("  stop \n") == "stop"
    assert clean_label("cafe\u0301") == "caf\u00e9"


@pytest.mark.parametrize("label", ["", "  ", "x" * 201, "a\x00b", "a\nb", "\x7f", "\ud800"])
def test_names_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match="class name"):
        clean_label(label)
