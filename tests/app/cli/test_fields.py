"""`--set`: any field of a classifier, also within another one."""

import pytest

from app.cli.options import parse_fields
from app.client.errors import CommandError


def test_fields_are_json_or_text_and_nest() -> None:
    given = [
        "pinned=true",
        "memory.format=webp",
        "memory.quality=80",
        "metadata.owner=Ann B.",
        'retention={"keep_last": 5}',
        "description=",
    ]
    assert parse_fields(given) == {
        "pinned": True,
        "memory": {"format": "webp", "quality": 80},
        "metadata": {"owner": "Ann B."},
        "retention": {"keep_last": 5},
        "description": "",
    }


@pytest.mark.parametrize(
    "given", [["pinned"], ["=1"], ["memory=1", "memory.format=webp"], ["a.b=1", "a=2"]]
)
def test_what_is_wrong_is_said(given: list[str]) -> None:
    with pytest.raises(CommandError, match="--set"):
        parse_fields(given)
