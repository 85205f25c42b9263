"""Lists: ``?limit=&after=`` in, ``{"data", "has_more", "next"}`` out."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Generic, Self, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from app.services.requests import Moment

Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[str | None, Query(max_length=255, description="`next` of the previous page.")]
# What is beyond cannot be in every time zone.
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
Since = Annotated[
    Moment | None,
    Query(ge=_FIRST, lt=_LAST, description="Made at this time or later (RFC 3339)."),
]
DEFAULT_LIMIT = 100


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    data: list[Item]
    has_more: bool
    next: str | None = Field(description="Pass as `after` for the next page; null at the end.")

    @classmethod
    def of(cls, items: Sequence[Item], limit: int, cursor: Callable[[Item], str]) -> Self:
        """Build the page from up to ``limit + 1`` items; the last only shows that more follow."""
        data = list(items[:limit])
        has_more = len(items) > limit
        return cls(data=data, has_more=has_more, next=cursor(data[-1]) if has_more else None)
