"""What request bodies are made of: values that can be stored, and sent back, as they came.

Python reads more from JSON than JSON has: NaN, numbers beyond a double's range (as infinity), and
halves of surrogate pairs, which no UTF-8 can hold.
"""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is no text") from None
    return value


def _plain(value: Any) -> Any:
    """Refuse, however deep, what is no JSON."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            _text(item)
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("a number must be finite")
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            waiting += [*item, *item.values()]
    return value


def _names(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        _text(name)
    return value


Text = Annotated[str, AfterValidator(_text)]
# Checked one by one, so that an error points at the option that is wrong.
GivenOptions = Annotated[dict[str, Annotated[Any, AfterValidator(_plain)]], AfterValidator(_names)]
UploadId = Annotated[str, StringConstraints(pattern=r"^upl_[0-9a-z]+$", max_length=64)]


class RequestBody(BaseModel):
    """Base of every JSON body: what is not named is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
