"""The service's problem documents as exceptions, one for each code.

A code that is not here, of a newer service, is an exception of its status: see `from_document`.
"""

from collections.abc import Mapping
from typing import Any, Final

from accrue_client.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    LimitedError,
    NotFoundError,
    ProblemError,
    UnavailableError,
)


class AliasNotFoundError(NotFoundError):
    """The classifier has no alias of that name."""

    problem_code = "alias-not-found"


class ClassNotFoundError(NotFoundError):
    """The version does not know that class."""

    problem_code = "class-not-found"


class ClassifierNotFoundError(NotFoundError):
    """No classifier has that name."""

    problem_code = "classifier-not-found"


class ImageNotFoundError(NotFoundError):
    """This workspace has no image of that hash."""

    problem_code = "image-not-found"


class JobNotFoundError(NotFoundError):
    """No job has that id."""

    problem_code = "job-not-found"


class KeyNotFoundError(NotFoundError):
    """The workspace has no key of that id or name."""

    problem_code = "key-not-found"


class NoReportError(NotFoundError):
    """The job has no report; results of a learning step are in its version."""

    problem_code = "no-report"


class NotAnEvaluationError(NotFoundError):
    """The job did not evaluate images, or has not succeeded."""

    problem_code = "not-an-evaluation"


class PageNotFoundError(NotFoundError):
    """The web page has no such file, or is off."""

    problem_code = "page-not-found"


class AddressNotFoundError(NotFoundError):
    """The service has nothing at that address."""

    problem_code = "not-found"


class UploadNotFoundError(NotFoundError):
    """No upload has that id."""

    problem_code = "upload-not-found"


class VersionNotFoundError(NotFoundError):
    """The classifier has no such version or alias."""

    problem_code = "version-not-found"


class CannotPurgeError(ConflictError):
    """An alias, or a job that has not ended, needs what would be deleted."""

    problem_code = "cannot-purge"


class ClassAlreadyLearntError(ConflictError):
    """A label is known to the version the job starts from, and `on_existing` is `error`."""

    problem_code = "class-already-learnt"


class ClassifierExistsError(ConflictError):
    """Another classifier has that name."""

    problem_code = "classifier-exists"


class ClassifierInUseError(ConflictError):
    """A job of the classifier has not ended."""

    problem_code = "classifier-in-use"


class ConfirmationRequiredError(ConflictError):
    """The classifier has versions, and the request does not confirm that they go with it."""

    problem_code = "confirmation-required"


class JobFinishedError(ConflictError):
    """The job has ended, so there is nothing to cancel."""

    problem_code = "job-finished"


class JobNotRetryableError(ConflictError):
    """Only failed and cancelled jobs whose uploads still exist can be retried."""

    problem_code = "job-not-retryable"


class JobUnreadableError(ConflictError):
    """Another release wrote the job's request in a form that is not known here."""

    problem_code = "job-unreadable"


class KeyNameTakenError(ConflictError):
    """A key that is not revoked has this name."""

    problem_code = "key-name-taken"


class KeysOffError(ConflictError):
    """The service asks for no keys, and makes none."""

    problem_code = "keys-off"


class LiveAliasError(ConflictError):
    """The alias `live` can be moved, but not deleted."""

    problem_code = "live-alias"


class NoVersionYetError(ConflictError):
    """The classifier has learnt nothing yet."""

    problem_code = "no-version-yet"


class NotJudgedError(ConflictError):
    """The version was made by a release that did not keep what it says of its images."""

    problem_code = "not-judged"


class RequestInProgressError(ConflictError):
    """The first request with this key has not been answered yet."""

    problem_code = "request-in-progress"


class StaleAliasError(ConflictError):
    """The alias does not name the version that the client expected (optimistic locking)."""

    problem_code = "stale-alias"


class UploadInUseError(ConflictError):
    """A job uses the upload."""

    problem_code = "upload-in-use"


class VersionInUseError(ConflictError):
    """An alias names the version, or a job that has not ended starts from it."""

    problem_code = "version-in-use"


class KeyBeyondMakerError(InvalidError):
    """A key may not be given more than the key that makes it has."""

    problem_code = "key-beyond-maker"


class BadRequestError(InvalidError):
    """The request cannot be understood."""

    problem_code = "bad-request"


class BodyTooLargeError(InvalidError):
    """The body is larger than this server accepts."""

    problem_code = "body-too-large"


class CannotCorrectError(InvalidError):
    """A correction changes nothing, leaves a class empty, or is one that the method cannot make."""

    problem_code = "cannot-correct"


class CannotEvaluateError(InvalidError):
    """There is no version or image to evaluate, or the version does not predict in that way."""

    problem_code = "cannot-evaluate"


class CannotForgetError(InvalidError):
    """The method cannot forget these classes, or no class would be left."""

    problem_code = "cannot-forget"


class CannotExportError(InvalidError):
    """The version has something that the format cannot express."""

    problem_code = "cannot-export"


class ClassifierRequiredError(InvalidError):
    """There are several classifiers, so the request must name one."""

    problem_code = "classifier-required"


class ClassifyNotOfferedError(InvalidError):
    """The method cannot classify in this way."""

    problem_code = "classify-not-offered"


class ContradictoryLabelsError(InvalidError):
    """Images of the upload have two labels, and `strict` refuses that."""

    problem_code = "contradictory-labels"


class InvalidLabellingConfigError(InvalidError):
    """The project's labelling config does not ask for the class of an image."""

    problem_code = "invalid-labelling-config"


class NoHeatMapError(InvalidError):
    """The version's backbone has no feature map that could be shown."""

    problem_code = "no-heat-map"


class HeadTooLargeError(InvalidError):
    """The address or the headers are too long."""

    problem_code = "head-too-large"


class IdempotencyKeyReusedError(InvalidError):
    """The key was used for another request."""

    problem_code = "idempotency-key-reused"


class InvalidOptionsError(InvalidError):
    """The method, its options or the backbone do not fit together."""

    problem_code = "invalid-options"


class InvalidRequestError(InvalidError):
    """A parameter or a field of the body is wrong."""

    problem_code = "invalid-request"


class InvalidWebhookError(InvalidError):
    """The webhook's URL is one to which this server does not send."""

    problem_code = "invalid-webhook"


class MalformedFormError(InvalidError):
    """The multipart body does not match its boundary."""

    problem_code = "malformed-form"


class MemoryTooSmallError(InvalidError):
    """The exemplar memory cannot hold one image of each class."""

    problem_code = "memory-too-small"


class MethodNotAllowedError(InvalidError):
    """The address does not take that method."""

    problem_code = "method-not-allowed"


class NoTrainingImagesError(InvalidError):
    """There is nothing to train on, or a new class has test images only."""

    problem_code = "no-training-images"


class NoUsableImagesError(InvalidError):
    """Nothing that was sent can be trained on."""

    problem_code = "no-usable-images"


class NotAcceptableError(InvalidError):
    """The answer is not offered in any media type that was asked for."""

    problem_code = "not-acceptable"


class RangeNotSatisfiableError(InvalidError):
    """The file has no such bytes."""

    problem_code = "range-not-satisfiable"


class RequestTimeoutError(InvalidError):
    """The request arrived too slowly."""

    problem_code = "request-timeout"


class RejectedImagesError(InvalidError):
    """Some images are refused, and `strict` makes it all or nothing."""

    problem_code = "rejected-images"


class TaskIsFrozenError(InvalidError):
    """The job would extend a class, and its method never changes a task once it is learnt."""

    problem_code = "task-is-frozen"


class TooManyImagesError(InvalidError):
    """The upload holds more images than this server accepts in one upload."""

    problem_code = "too-many-images"


class TooManyPartsError(InvalidError):
    """The form has more parts than the server reads."""

    problem_code = "too-many-parts"


class UnknownBaseVersionError(InvalidError):
    """The job names a version to start from that the classifier does not have."""

    problem_code = "unknown-base-version"


class UnknownClassError(InvalidError):
    """The job names a class that the version to start from does not know."""

    problem_code = "unknown-class"


class UnknownImageError(InvalidError):
    """The version to start from was neither trained on an image nor holds it out."""

    problem_code = "unknown-image"


class UnknownTaskError(InvalidError):
    """The version has no task of that number."""

    problem_code = "unknown-task"


class UnknownUploadError(InvalidError):
    """The job names an upload that does not exist."""

    problem_code = "unknown-upload"


class UnreadableArchiveError(InvalidError):
    """The archive is damaged, or not of the kind that the content type names."""

    problem_code = "unreadable-archive"


class UnreadableImageError(InvalidError):
    """The only image of the request cannot be read."""

    problem_code = "unreadable-image"


class UnsafeArchiveError(InvalidError):
    """The archive has names that lead outside it (zip slip), or is a zip bomb."""

    problem_code = "unsafe-archive"


class UnsupportedMediaTypeError(InvalidError):
    """The service does not read images from a body of that kind."""

    problem_code = "unsupported-media-type"


class ForeignSiteError(DeniedError):
    """Keys are off, and the request comes from another site, or by a name of the network."""

    problem_code = "foreign-site"


class MissingScopeError(DeniedError):
    """The key is good, but lacks a scope that this needs."""

    problem_code = "missing-scope"


class UnauthorizedError(DeniedError):
    """The request has no key that is good here."""

    problem_code = "unauthorized"


class RateLimitedError(LimitedError):
    """The key predicts more images a second than its rate limit allows."""

    problem_code = "rate-limited"


class StorageQuotaError(LimitedError):
    """The workspace stores as much as the key may store."""

    problem_code = "storage-quota"


class TooManyJobsError(LimitedError):
    """The workspace has as many waiting jobs as the key may have."""

    problem_code = "too-many-jobs"


class DatabaseDamagedError(UnavailableError):
    """The database is damaged where this request needs it; a retry does not help."""

    problem_code = "database-damaged"


class DatabaseUnavailableError(UnavailableError):
    """The database is locked or cannot be reached; a retry may succeed."""

    problem_code = "database-unavailable"


class ImageUnreadableError(UnavailableError):
    """The stored bytes of the image are gone or damaged."""

    problem_code = "image-unreadable"


class InternalError(UnavailableError):
    """The service failed; its log says why, under the request's id."""

    problem_code = "internal-error"


class NotReadyError(UnavailableError):
    """Something that the service needs does not answer, or is not whole."""

    problem_code = "not-ready"


class ExportBuildingError(UnavailableError):
    """The file is still being built."""

    problem_code = "export-building"


class LabelStudioFailedError(UnavailableError):
    """Label Studio cannot be reached, or refuses what it is asked for."""

    problem_code = "label-studio-failed"


class LabelStudioStoppedError(UnavailableError):
    """The service stops before it has fetched all images of a project."""

    problem_code = "label-studio-stopped"


class OnnxNotInstalledError(UnavailableError):
    """The server lacks the package that writes ONNX models."""

    problem_code = "onnx-not-installed"


class QueueFullError(UnavailableError):
    """More images wait for prediction than this server queues."""

    problem_code = "queue-full"


class StorageChangedError(UnavailableError):
    """Bytes were deleted from the storage between their put and the insert of their rows."""

    problem_code = "storage-changed"


class StorageFullError(UnavailableError):
    """The storage is full."""

    problem_code = "storage-full"


class StorageUnavailableError(UnavailableError):
    """The storage cannot be read from or written to; a later attempt may succeed."""

    problem_code = "storage-unavailable"


class TensorsUnreadableError(UnavailableError):
    """The stored tensors of the version are gone or damaged."""

    problem_code = "tensors-unreadable"


class TooManyConnectionsError(UnavailableError):
    """The service has as many connections as it takes."""

    problem_code = "too-many-connections"


class TooManyStreamsError(UnavailableError):
    """This process has as many open streams as it may have."""

    problem_code = "too-many-streams"


class VersionLoadingError(UnavailableError):
    """The version is still being loaded into this server's memory."""

    problem_code = "version-loading"


class VersionUnreadableError(UnavailableError):
    """The version cannot be loaded; the detail says whether its bytes, its fit or the storage."""

    problem_code = "version-unreadable"


_BY_CODE: Final = {
    kind.problem_code: kind
    for family in ProblemError.__subclasses__()
    for kind in family.__subclasses__()
}
_BY_STATUS: Final[Mapping[int, type[ProblemError]]] = {
    401: DeniedError,
    403: DeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: LimitedError,
}


def from_document(
    document: Mapping[str, Any], status: int, retry_after: float | None
) -> ProblemError:
    """Return the exception of a problem document. Raises KeyError or TypeError for other JSON."""
    kind = _BY_CODE.get(str(document["code"]))
    if kind is None:
        kind = _BY_STATUS.get(status, UnavailableError if status >= 500 else InvalidError)
    return kind(document, status, retry_after)
