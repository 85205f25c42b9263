"""Values of JSON, checked so that they can be stored and sent back as they came.

Python reads more from JSON than JSON has: NaN, numbers beyond a double's range (as infinity), and
halves of surrogate pairs, which UTF-8 cannot hold.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ModelWrapValidatorHandler, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError


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


class JsonObject(BaseModel):
    """An object of JSON, in which true and false are not numbers, as Python takes them for 1 and 0.

    `"keep_last": true` would keep one version, and delete all others.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _no_truth_for_a_number(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made = handler(data)
        if not isinstance(data, dict):
            return made
        wrong = [
            InitErrorDetails(type=_NOT_A_NUMBER, loc=(name, *place), input=data[name])
            for name in cls.model_fields.keys() & data.keys()
            for place in _taken_for_numbers(data[name], getattr(made, name))
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return made


_NOT_A_NUMBER = PydanticCustomError("number", "true and false are not numbers")


def _taken_for_numbers(given: Any, made: Any) -> Iterator[tuple[int, ...]]:
    """Yield where in a value, which lists may hold, a truth value has become something else."""
    if isinstance(given, bool):
        if not isinstance(made, bool):
            yield ()
    elif isinstance(given, list) and isinstance(made, list | tuple):
        for position, (before, after) in enumerate(zip(given, made, strict=False)):
            for place in _taken_for_numbers(before, after):
                yield position, *place
