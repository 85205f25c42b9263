"""What request bodies have in common."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.types import StringConstraints
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class Matching:
    """A pattern that a whole text must match; `words` say it to those who do not read patterns."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}

    def _checked(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.words)
        return text


NAME = Matching(
    "[A-Za-z0-9][A-Za-z0-9._-]*",
    "A name has only the letters A to Z and a to z, digits, dots, hyphens and underscores, without "
    "spaces and accents, and begins with a letter or digit.",
)
Sha256 = Annotated[
    str, Matching("[0-9a-f]{64}", "A SHA-256 has 64 characters, each a digit or one of a to f.")
]
UploadId = Annotated[
    str,
    StringConstraints(max_length=64),
    Matching(
        "upl_[0-9a-z]+", "An upload's id begins with upl_, as the answer to the upload has it."
    ),
]


_DAY_AND_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]")


def _rfc3339(given: Any) -> Any:
    """Refuse what would be taken for seconds since 1970."""
    if isinstance(given, str) and not _DAY_AND_TIME.match(given):
        raise ValueError("not a time such as 2026-11-29T12:00:00Z")
    return given


# A time with its zone, as RFC 3339 writes it.
Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]


class RequestBody(BaseModel):
    """Base of every JSON body: unknown fields are refused, and "3" is not 3."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)
