"""What can be wrong with a request to learn, in terms its sender understands."""


class InvalidSpecError(ValueError):
    """A classifier's description is wrong at one place: a JSON pointer and what is wrong there."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


class LearningError(Exception):
    """A learning step cannot be done. `code` is stable; trying again gives the same answer."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Cancelled(Exception):  # noqa: N818 - not an error: it was asked for
    """A step was stopped because its caller said so."""
