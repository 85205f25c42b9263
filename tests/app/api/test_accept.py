"""Content negotiation, by the rules of RFC 9110."""

import pytest
from fastapi import Request

from app.api.events import NotAcceptableError, wants_stream

JSON, STREAM = "application/json", "text/event-stream"


def request(*accept: str) -> Request:
    headers = [(b"accept", value.encode()) for value in accept]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ([], JSON),
        ([""], JSON),
        (["*/*"], JSON),
        (["application/*"], JSON),
        (["application/json; charset=utf-8"], JSON),
        ([STREAM], STREAM),
        (["Text/Event-Stream"], STREAM),
        (["text/*"], STREAM),
        (["text/event-stream, application/json"], JSON),
        (["text/event-stream", "application/json;q=0.9"], STREAM),
        (["application/json;q=0.5, text/event-stream;q=0.8"], STREAM),
        (["text/event-stream, */*;q=0.1"], STREAM),
        (["*/*, application/json;q=0"], STREAM),
        # The most specific range counts, not the best.
        (["text/event-stream;q=0.2, text/*;q=0.9, application/json;q=0.3"], JSON),
        (["application/json;q=what"], JSON),
        (["text/html, , text/event-stream ; q=0.7"], STREAM),
    ],
)
def test_the_best_is_chosen(accept: list[str], chosen: str) -> None:
    assert wants_stream(request(*accept)) == (chosen == STREAM)


@pytest.mark.parametrize(
    "accept", ["text/html", "image/*", "*/*;q=0", "application/json;q=0", "application/jsonx"]
)
def test_what_fits_nothing_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptableError, match=f"{JSON} and {STREAM}"):
        wants_stream(request(accept))
