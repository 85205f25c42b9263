"""What an object store says is wrong, as the errors that every blob store raises."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)

_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
_FULL = ("QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull")
_INSUFFICIENT_STORAGE = 507
_FORBIDDEN = 403


def code_of(error: ClientError) -> str:
    """Return the code of an answer, such as ``NoSuchKey``; a HEAD has only the status: ``404``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_missing(error: ClientError) -> bool:
    """Say whether the object is not there, which is for the caller to judge."""
    return code_of(error) in ("NoSuchKey", "404", "NotFound")


@contextmanager
def as_os_errors(bucket: str) -> Iterator[None]:
    """Raise OSError with a text that says what to do, for everything that goes wrong inside."""
    try:
        yield
    except ClientError as error:
        raise _answered(error, bucket) from error
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        raise PermissionError(errno.EACCES, f"there are no credentials: {_KEYS}") from error
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise TimeoutError(errno.ETIMEDOUT, f"the object store does not answer: {error}") from error
    except ConnectionError as error:
        raise OSError(errno.EHOSTUNREACH, f"the object store is not there: {error}") from error
    except (BotoCoreError, ValueError) as error:  # the second for an endpoint that is no URL
        raise OSError(errno.EIO, str(error)) from error


def _answered(error: ClientError, bucket: str) -> OSError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code == "NoSuchBucket":
        what = f"there is no bucket {bucket}: make it, or name another in ACCRUE_STORAGE"
        return FileNotFoundError(errno.ENOENT, what)
    if code in _FULL or status == _INSUFFICIENT_STORAGE:
        return OSError(errno.ENOSPC, f"the object store takes no more ({code})")
    if status == _FORBIDDEN:
        what = f"access to bucket {bucket} is refused ({code}): {_KEYS}, with a policy that allows"
        return PermissionError(errno.EACCES, f"{what} {error.operation_name}")
    return OSError(errno.EIO, str(error))
