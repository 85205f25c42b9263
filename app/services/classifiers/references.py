"""How a request names a version: by its number or by an alias."""

import re
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError, ValidatorFunctionWrapHandler
from pydantic.functional_validators import WrapValidator

from app.services.requests import Matching

# The alias that `/predict` serves unless the request names another version.
LIVE = "live"

_NUMBER = re.compile(r"[0-9]{1,9}")

AliasName = Annotated[
    str,
    StringConstraints(max_length=64),
    Matching(
        "[A-Za-z][A-Za-z0-9._-]*",
        "An alias has only the letters A to Z and a to z, digits, dots, hyphens and underscores, "
        "and begins with a letter, to differ from a version's number.",
    ),
]
Number = Annotated[int, Field(ge=1, lt=10**9)]


def _one_error(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Say in one error what pydantic would say in one for each alternative."""
    try:
        return validate(value)
    except ValidationError:
        raise ValueError("is not a version's number or an alias") from None


NumberOrAlias = Annotated[Number | AliasName, WrapValidator(_one_error)]


def is_number(reference: str) -> bool:
    """Say whether a reference to a version is its number; otherwise it is an alias."""
    return _NUMBER.fullmatch(reference) is not None
