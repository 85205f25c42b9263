"""What can go wrong, as exceptions. `problems` has one for each code of the service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class AccrueError(Exception):
    """The base of all errors of this package. Its message says what is wrong and what to do."""


class ServerUnreachableError(AccrueError):
    """No answer came, for as long as the client tries."""


class NotAccrueError(AccrueError):
    """Something answered that is not Accrue, such as a proxy; `status` is that of an answer."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


class InvalidSourceError(AccrueError, ValueError):
    """What was given as images cannot be sent. `skipped` names files, each with a reason."""

    def __init__(self, message: str, skipped: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.skipped = tuple(skipped)


class NotAllTakenError(InvalidSourceError):
    """Some files cannot be sent, and `strict` takes all or none."""


class UploadInterruptedError(AccrueError):
    """An upload ended before all images were sent. `resume=upload_id` continues it."""

    def __init__(self, message: str, upload_id: str) -> None:
        super().__init__(message)
        self.upload_id = upload_id


class UploadLeftError(AccrueError):
    """An operation failed, and left the upload `upload_id` behind, which nothing needs."""

    def __init__(self, message: str, upload_id: str) -> None:
        super().__init__(message)
        self.upload_id = upload_id


class JobFailedError(AccrueError):
    """A job failed or was cancelled: see `state`. `code` says why it failed."""

    def __init__(self, message: str, job_id: str, state: str, code: str | None) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.state = state
        self.code = code


class WaitTimeoutError(AccrueError, TimeoutError):
    """A job has not ended within the time that was given. It goes on."""


class SignatureError(AccrueError, ValueError):
    """A webhook was not sent by the service, or not lately."""


@dataclass(frozen=True)
class FieldProblem:
    """A wrong field of a request: a JSON pointer to it, what is wrong, and of which class."""

    pointer: str
    detail: str
    label: str | None = None


class ProblemError(AccrueError):
    """The service refused a request. Subclasses are in `accrue_client.problems`, one a code."""

    # Of subclasses: the `code` of the problem documents that become this exception.
    problem_code: ClassVar[str | None] = None

    def __init__(self, document: Mapping[str, Any], status: int, retry_after: float | None) -> None:
        """Take a problem document (RFC 9457). Raises KeyError or TypeError for other JSON."""
        self.title = str(document["title"])
        self.detail = str(document["detail"])
        self.code = str(document["code"])
        self.request_id = document.get("instance")
        self.status = status
        self.retry_after = retry_after
        self.errors: Sequence[FieldProblem] = tuple(
            FieldProblem(str(each["pointer"]), str(each["detail"]), each.get("label"))
            for each in document.get("errors") or ()
        )
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [f"{self.title}: {self.detail}"]
        for field in self.errors:
            if field.label is not None:  # the detail names the classes
                continue
            said = "" if field.detail == self.detail else f": {field.detail}"
            lines.append(f"  {field.pointer}{said}")
        return "\n".join(lines)


class NotFoundError(ProblemError):
    """There is no such thing (404)."""


class ConflictError(ProblemError):
    """The request does not agree with the state of the service (409)."""


class InvalidError(ProblemError):
    """The request asks for what cannot be (other 4xx)."""


class DeniedError(ProblemError):
    """The key does not let this request in (401, 403)."""


class LimitedError(ProblemError):
    """The key has reached a limit (429). `retry_after` says for how many seconds."""


class UnavailableError(ProblemError):
    """The service cannot answer at the moment (5xx)."""
