"""Impossible sequences of events are found."""

from typing import Any

import pytest

from app.db.tables import JobEvent
from tests.chaos import story

LEGAL = [
    ["created", "started 1", "phase", "epoch", "published 1", "succeeded"],
    ["created", "cancelled"],
    ["created", "started 1", "started 2", "cancelling", "epoch", "cancelled"],
    ["created", "started 1", "requeued", "started 2", "failed", "requeued", "started 3", "failed"],
]
ILLEGAL = [
    ["created", "started 1"],
    ["created", "started 2", "failed"],
    ["created", "started 1", "started 1", "failed"],
    ["created", "started 1", "succeeded"],
    ["created", "started 1", "published 1", "published 2", "succeeded"],
    ["created", "started 1", "published 1", "succeeded", "succeeded"],
    ["created", "started 1", "cancelling", "published 1", "succeeded"],
    ["created", "started 1", "failed", "epoch"],
    ["created", "cancelled", "started 1", "failed"],
    ["created", "started 1", "unheard of", "failed"],
]


def told(words: list[str]) -> list[JobEvent]:
    def event(seq: int, kind: str, number: str) -> JobEvent:
        names = {"started": "attempt", "published": "version"}
        data: dict[str, Any] = {names[kind]: int(number)} if number else {}
        return JobEvent(job_id="job_1", seq=seq, type=kind, data=data)

    split = [word.rpartition(" ") if word[-1].isdigit() else (word, "", "") for word in words]
    return [event(seq, kind, number) for seq, (kind, _, number) in enumerate(split, start=1)]


@pytest.mark.parametrize("words", LEGAL)
def test_legal_stories(words: list[str]) -> None:
    assert not story.read(told(words)).wrong


@pytest.mark.parametrize("words", ILLEGAL)
def test_stories_that_cannot_have_happened(words: list[str]) -> None:
    assert story.read(told(words)).wrong


def test_a_gap_in_the_numbers() -> None:
    events = told(LEGAL[0])
    del events[2]
    assert story.read(events).wrong
