"""Why a prediction cannot be made."""

from app.errors import ServiceError


class NoVersionYetError(ServiceError, status=409, code="no-version-yet"):
    """The classifier has learnt nothing yet."""


class VersionUnreadableError(ServiceError, status=503, code="version-unreadable"):
    """The version cannot be loaded; the detail says whether its bytes, its fit or the storage."""


class VersionLoadingError(ServiceError, status=503, code="version-loading"):
    """The version is still being loaded into this server's memory."""


class QueueFullError(ServiceError, status=503, code="queue-full"):
    """More images wait for prediction than this server queues."""


class UnknownTaskError(ServiceError, status=422, code="unknown-task"):
    """The version has no task of that number."""


class NoHeatMapError(ServiceError, status=422, code="no-heat-map"):
    """The version's backbone has no feature map that could be shown."""


class ClassifyNotOfferedError(
    ServiceError, status=422, code="classify-not-offered", title="Way to classify not offered"
):
    """The method cannot classify in this way."""
