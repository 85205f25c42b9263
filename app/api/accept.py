"""Which of the media types a route offers a client would like best (RFC 9110, 12.5.1)."""

from collections.abc import Iterable, Sequence

from fastapi import Request

from app.errors import ServiceError


class NotAcceptableError(ServiceError, status=406, code="not-acceptable"):
    """The answer is not offered in any media type that was asked for."""


def negotiate(request: Request, offered: Sequence[str]) -> str:
    """Return the offered type that is liked best, the earlier of two liked the same.

    Raises NotAcceptableError where none is.
    """
    header = ",".join(request.headers.getlist("accept"))
    ranges = list(_ranges(header)) or [("*/*", 1.0)]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if not _quality(best, ranges):
        raise NotAcceptableError(f"This is offered as {' and '.join(offered)}.")
    return best


def _ranges(header: str) -> Iterable[tuple[str, float]]:
    """Read (media range, quality) pairs; parameters other than q say nothing here."""
    for element in header.lower().split(","):
        media_range, *parameters = (part.strip() for part in element.split(";"))
        if not media_range:
            continue
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                quality = _number(value.strip())
        yield media_range, quality


def _number(text: str) -> float:
    """Read a quality; what is none counts as if it were not there."""
    try:
        value = float(text)
    except ValueError:
        return 1.0
    return value if 0 <= value <= 1 else 1.0


def _quality(media_type: str, ranges: Iterable[tuple[str, float]]) -> float:
    """Return the quality of the most specific range that the type is in, 0 where none is."""
    specific = [media_type, f"{media_type.partition('/')[0]}/*", "*/*"]
    found = [(specific.index(name), -quality) for name, quality in ranges if name in specific]
    return -min(found)[1] if found else 0.0
