"""Takes back what an operation that failed has sent, and says what stays where it cannot."""

from typing import NoReturn

from accrue_client.errors import AccrueError, UploadLeftError
from accrue_client.http_api import Api
from accrue_client.steps import Steps


def take_back(api: Api, upload_id: str, error: AccrueError) -> Steps[NoReturn]:
    """Delete an upload and raise the error for which it is taken back.

    Raises UploadLeftError in its place where the upload cannot be deleted.
    """
    try:
        yield from api.delete(f"/v1/uploads/{upload_id}")
    except AccrueError as refused:
        raise left(error, upload_id, f" It could not be deleted: {refused}") from error
    raise error


def left(error: AccrueError, upload_id: str, why: str = "") -> UploadLeftError:
    """Return the error of an operation that leaves an upload behind."""
    return UploadLeftError(
        f"{error}\nThe images that have arrived stay, in the upload {upload_id}.{why}\n"
        f"Unless a job learns it, delete it by DELETE /v1/uploads/{upload_id}.",
        upload_id,
    )
