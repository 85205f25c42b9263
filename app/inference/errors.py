"""Why a prediction cannot be made."""

from typing import ClassVar

from app.errors import ServiceError


class NoVersionYetError(ServiceError):
    """The classifier has learnt nothing yet."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "no-version-yet"
    title: ClassVar[str] = "No version yet"


class VersionUnreadableError(ServiceError):
    """The version's stored tensors are missing or damaged."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "version-unreadable"
    title: ClassVar[str] = "Version unreadable"


class QueueFullError(ServiceError):
    """More images wait for prediction than this server holds."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "queue-full"
    title: ClassVar[str] = "Queue full"


class UnknownTaskError(ServiceError):
    """The version has no such task."""

    status: ClassVar[int] = 422
    code: ClassVar[str] = "unknown-task"
    title: ClassVar[str] = "Unknown task"


class ClassifyNotOfferedError(ServiceError):
    """The method cannot classify in this way."""

    status: ClassVar[int] = 422
    code: ClassVar[str] = "classify-not-offered"
    title: ClassVar[str] = "Way to classify not offered"
