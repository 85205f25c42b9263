"""Images as base64 in JSON, in the many ways in which clients write it."""

import base64
import re
from urllib.parse import unquote

_LINE_END = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_FOREIGN = re.compile(r"[^A-Za-z0-9+/]")
_TO_STANDARD = str.maketrans("-_", "+/")


def decoded(text: str) -> bytes:
    """Return the bytes behind a text in base64.

    Takes lines (RFC 2045), the alphabet for URLs (RFC 4648, section 5), missing padding and
    ``data:`` URLs (RFC 2397). Raises ValueError with what is wrong.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return _lenient(text)


def _lenient(text: str) -> bytes:
    joined = _joined(_without_url(text.strip("\ufeff \t\r\n"))).translate(_TO_STANDARD)
    digits = joined.rstrip("=")
    padding = len(joined) - len(digits)
    if digits.startswith(("b'", 'b"')):
        raise ValueError("not base64 but a Python bytes object as text: call .decode() on it")
    if foreign := _FOREIGN.search(digits):
        raise ValueError(f"not base64: character {foreign.start() + 1} is not in its alphabet")
    if len(digits) % 4 == 1 or (padding and len(joined) % 4):
        raise ValueError("not base64: characters are missing or left over")
    return base64.b64decode(digits + "=" * (-len(digits) % 4))


def _without_url(text: str) -> str:
    if text[:5].lower() != "data:":
        return text
    head, comma, data = text.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise ValueError("a data: URL that is not in base64: send the image file in base64")
    return unquote(data)


def _joined(text: str) -> str:
    """Join lines, also where a shell has turned their ends into spaces.

    Other spaces may stand for the + that a form has turned into one; without it the image would be
    another one. Raises ValueError for them.
    """
    lines = _LINE_END.sub("", text).split()
    joined = "".join(lines)
    if len(lines) > 1:
        width = len(lines[0])
        regular = all(len(line) == width for line in lines[:-1]) and len(lines[-1]) <= width
        if width % 4 or not regular or len(joined) % 4:
            raise ValueError("not base64: it has spaces, perhaps for + that a form has replaced")
    return joined
