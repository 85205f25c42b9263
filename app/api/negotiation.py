"""Content negotiation by the header Accept (RFC 9110, section 12.5.1)."""

import re

from starlette.datastructures import Headers

# A weight in an Accept header, such as q=0.8.
_WEIGHT = re.compile(r"q\s*=\s*(0(?:\.\d*)?|1(?:\.0*)?)")


def accepted(headers: Headers) -> str:
    """Return what a request accepts; anything where it does not say."""
    return ",".join(headers.getlist("accept")).lower().strip(", ") or "*/*"


def weight(media_type: str, accept: str) -> float:
    """Return the weight (q) of the most specific range that the type is in; 0 without one."""
    weights = {}
    for element in accept.split(","):
        media_range, *parameters = (part.strip() for part in element.split(";"))
        given = [found[1] for text in parameters if (found := _WEIGHT.fullmatch(text))]
        weights[media_range] = float(given[0]) if given else 1.0
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((weights[name] for name in ranges if name in weights), 0.0)
