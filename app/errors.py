"""Errors that clients may see: each class is a kind of problem with a status and a stable code.

    class UploadNotFoundError(ServiceError, status=404, code="upload-not-found"): ...

`app.api.problems` turns them into RFC 9457 documents and into each route's OpenAPI responses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldError:
    """One wrong field: a JSON pointer into the request, and what is wrong there.

    `label` is the class that is meant, where it is about one.
    """

    pointer: str
    detail: str
    label: str | None = None


# Of what passes when a job has ended.
UNTIL_A_JOB_ENDS = {"Retry-After": "5"}


class ServiceError(Exception):
    """The server failed."""

    # The base of all errors that clients may see; its docstring is shown in the OpenAPI document.

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"

    def __init_subclass__(cls, *, status: int, code: str, title: str | None = None) -> None:
        super().__init_subclass__()
        cls.status, cls.code = status, code
        cls.title = title or code.replace("-", " ").capitalize()

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
