"""Base64 as clients write it, against the encoders of the standard library and of RFC 2045."""

import base64
import textwrap
from urllib.parse import quote

import pytest

from app.api.base64_text import decoded

# Every byte, so that + and / occur, and 256 = 3·85 + 1 bytes end in two signs of padding.
DATA = bytes(range(256))
STANDARD = base64.b64encode(DATA).decode()

WAYS = {
    "lines of 76": base64.encodebytes(DATA).decode(),
    "lines of 64 of Windows": "\r\n".join(textwrap.wrap(STANDARD, 64)),
    "lines of any length": "\n".join(textwrap.wrap(STANDARD, 33)),
    "indented lines": "\n    ".join(textwrap.wrap(STANDARD, 76)),
    "lines joined by a shell": " ".join(textwrap.wrap(STANDARD, 76)),
    "around it": f"\ufeff \n{STANDARD}\n",
    "the alphabet for URLs": base64.urlsafe_b64encode(DATA).decode(),
    "no padding": STANDARD.rstrip("="),
    "the alphabet for URLs, no padding": base64.urlsafe_b64encode(DATA).decode().rstrip("="),
    "a URL": f"data:image/png;base64,{STANDARD}",
    "a URL in capitals": f"DATA:IMAGE/PNG;BASE64,{STANDARD}",
    "a URL with parameters": f"data:image/svg+xml;charset=utf-8;base64,{STANDARD}",
    "a URL without a type": f"data:;base64,{STANDARD}",
    "a URL with percents": f"data:image/png;base64,{quote(STANDARD, safe='')}",
    "a URL in lines": "data:image/png;base64,\n" + base64.encodebytes(DATA).decode(),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_same_bytes(way: str) -> None:
    assert decoded(WAYS[way]) == DATA


@pytest.mark.parametrize("length", range(1, 9))
def test_padding_may_be_missing_at_every_length(length: int) -> None:
    text = base64.b64encode(DATA[-length:]).decode()
    assert decoded(text) == decoded(text.rstrip("=")) == DATA[-length:]


WRONG = {
    "a foreign character": ("ab!d", "character 3"),
    "an escaped line end": (STANDARD[:76] + "\\n" + STANDARD[76:], "character 77"),
    "two texts": ("YQ==YQ==", "character 3"),
    "cut off": (STANDARD.rstrip("=")[:-1], "missing"),
    "too little padding": (STANDARD[:-1], "missing"),
    "other letters": ("ü", "character 1"),
    "a bytes object of Python": (str(base64.b64encode(DATA)), r"\.decode\(\)"),
    "a URL with percents only": ("data:image/svg+xml,%3Csvg/%3E", "data: URL"),
    "a URL without data": ("data:image/png;base64", "data: URL"),
    # Without its + the image would be another one.
    "+ that a form has replaced": (STANDARD.replace("+", " "), "spaces"),
    "one + in the second half": ("A" * 40 + " " + "A" * 39, "spaces"),
    "one + at the end": ("A" * 79 + "A +A" + "AAA", "spaces"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_in_doubt_is_refused(name: str) -> None:
    text, said = WRONG[name]
    with pytest.raises(ValueError, match=said):
        decoded(text)
