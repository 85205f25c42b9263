"""Values of JSON, checked so that they can be stored and sent back as they came.

Python reads more from JSON than JSON has: NaN, numbers beyond a double's range (as infinity), and
halves of surrogate pairs, which UTF-8 cannot hold.
"""

import math
from typing import Annotated, Any

from pydantic import AfterValidator


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("text must not hold half of a surrogate pair") from None
    return value


def _value(value: Any) -> Any:
    """Refuse text and numbers that JSON cannot hold, at any depth."""
    unchecked = [value]
    while unchecked:
        item = unchecked.pop()
        if isinstance(item, str):
            _text(item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("a number must be finite")
        elif isinstance(item, list):
            unchecked += item
        elif isinstance(item, dict):
            unchecked += [*item, *item.values()]
    return value


def _names(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        _text(name)
    return value


Text = Annotated[str, AfterValidator(_text)]
# Values are checked one by one, so that an error points at the option that is wrong.
GivenOptions = Annotated[dict[str, Annotated[Any, AfterValidator(_value)]], AfterValidator(_names)]
