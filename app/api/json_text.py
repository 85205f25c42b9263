"""The text of JSON documents, as editors and shells write it."""

import codecs
import re

from app.api.problems import InvalidRequestError

_OTHERS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_BEGINNING = re.compile(rb"(\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*[{\[]")


def utf8(content: bytes) -> bytes:
    """Return JSON without its byte order mark. Raises InvalidRequestError for UTF-16 and UTF-32."""
    # JSON begins with an ASCII character, whose other bytes are zero in UTF-16 and UTF-32.
    if content.startswith(_OTHERS) or b"\0" in content[:2]:
        raise InvalidRequestError(
            "The JSON is UTF-16 or UTF-32, and must be UTF-8. In PowerShell, write the file with "
            "-Encoding utf8, and send its bytes."
        )
    return content.removeprefix(codecs.BOM_UTF8)


def is_likely(head: bytes) -> bool:
    """Say whether a body that begins so is JSON: an object or a list."""
    return _BEGINNING.match(head) is not None
